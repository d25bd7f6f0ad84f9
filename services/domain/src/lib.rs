//! Where Rapport's truth lives: facts in, decision and reasons out.
//!
//! | module                 | answers                                                        | SPEC      |
//! |------------------------|----------------------------------------------------------------|-----------|
//! | [`sign_in`]            | what becomes of a temporary account when its visitor signs in? | 5 to 18   |
//! | [`session`]            | who may begin as a temporary account, and whose is a session token? | 2, 5, 11, 57 |
//! | [`merge_policy`]       | what does the Brand want to become of it?                      | 6         |
//! | [`person`]             | which accounts are one person, now and when an order was placed? | 10, 16, 19, 21, 42 |
//! | [`chatroom`]           | which chatroom opens, and in which order are they listed?      | 22 to 25  |
//! | [`block`]              | has a Member blocked a person?                                 | 30        |
//! | [`message`]            | who may write what, when, and does it count?                   | 27 to 29, 32, 39 |
//! | [`order`]              | what did the Brand's checkout report?                          | 35, 45    |
//! | [`buyer`]              | whose order is it?                                             | 36, 55    |
//! | [`evidence`]           | does a chatroom qualify for an order?                          | 38, 39    |
//! | [`attribution`]        | which Member and chatroom is it credited to, and why?          | 37 to 42, 47 |
//! | [`attribution_policy`] | by which of the Brand's rules?                                 | 40 to 44  |
//! | [`ledger`]             | what is to be booked?                                          | 43, 45    |
//! | [`money`]              | how is an amount divided without losing a cent?                | 40, 46    |
//! | [`email`], [`text`], [`id`], [`instant`], [`label`] | the values that all of them are made of | 1, 3, 32 |
//!
//! Everything here is a total function of its arguments. Nothing waits, fails for a reason outside
//! its arguments, looks at a clock, draws a random number, or knows how facts are stored or sent.
//! Therefore the order in which facts arrived, and how often, cannot matter: nobody here can see it.
//!
//! No decision crosses Brands, because none is ever given the facts of two: the caller loads the
//! facts of one Brand, and only those (SPEC 1).

#![forbid(unsafe_code)]

pub mod attribution;
pub mod attribution_policy;
pub mod block;
pub mod buyer;
pub mod chatroom;
pub mod email;
pub mod evidence;
pub mod expiry;
pub mod id;
pub mod instant;
pub mod label;
pub mod ledger;
pub mod merge_policy;
pub mod message;
pub mod money;
pub mod order;
pub mod person;
pub mod session;
pub mod sign_in;
pub mod text;

#[cfg(test)]
mod fixtures;
