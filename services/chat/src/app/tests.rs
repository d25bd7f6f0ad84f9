//! The use cases on both engines, rule by rule.

mod archiving;
mod batching;
mod blocking;
mod choosing;
mod consistency;
mod erasing;
mod exporting;
mod imaging;
mod paging;
mod phygital;
mod racing;
mod rating;
mod reading;
mod remembering;
mod sending;
mod storm;
mod timeline;
mod visibility;
mod watching;
