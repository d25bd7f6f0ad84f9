//! How many bytes the limits hold after a million callers, counted where they are allocated.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

use domain::id::BrandId;
use kit::{
    clock::Clock,
    limit::{CAPACITY, LimitConfig, Limits, Subject},
};
use uuid::Uuid;

/// The system's allocator, and how many bytes it has given out and not got back.
struct Counting;

static HELD_BYTES: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "an allocator is implemented in no other way")]
// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD_BYTES.fetch_add(layout.size(), Ordering::SeqCst);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD_BYTES.fetch_sub(layout.size(), Ordering::SeqCst);
        // SAFETY: the pointer was given by `alloc` above for this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_million_keys_hold_bounded_memory() {
    const MOST_BYTES_A_KEY: usize = 160;
    let before = HELD_BYTES.load(Ordering::SeqCst);
    let limits = Limits::new(&LimitConfig::default(), &Clock::system());
    let brand_id = BrandId::parse("shop").expect("a slug");
    let call = |number: u128| {
        let subject = Subject::Session(Uuid::from_u128(number));
        limits.check_account(&brand_id, subject).expect("one call");
    };
    let held = || HELD_BYTES.load(Ordering::SeqCst) - before;
    (0..500_000).for_each(call);
    let after_half = held();
    (500_000..1_000_000).for_each(call);
    println!(
        "after 500,000 keys {after_half} bytes, after 1,000,000 {}",
        held()
    );
    assert!(after_half > CAPACITY * 24, "the states are not counted");
    assert!(held() <= after_half + CAPACITY, "memory grows on");
    // Two limits that nothing was counted for, and one that is full.
    assert!(held() < 3 * CAPACITY * MOST_BYTES_A_KEY, "{}", held());
}
