//! What a session takes from the heap once it is warm: every call gives all of it back.
#![allow(unsafe_code, reason = "a counting allocator")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

use needle_core::{Catalogue, Model, Options, Session, tool};

static COUNT: AtomicUsize = AtomicUsize::new(0);
static HELD: AtomicIsize = AtomicIsize::new(0);

/// The system's allocator, which counts.
struct Counting;

// SAFETY: everything is the system allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        HELD.fetch_add(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_warm_session_keeps_nothing_of_a_call() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let model = Model::open(root.join("models/default")).unwrap();
    let tools = tool::parse(&std::fs::read_to_string(root.join("examples/tools.json")).unwrap()).unwrap();
    let catalogue = Catalogue::compile(&model, tools).unwrap();
    let mut session = Session::new(&model);
    let mut call = || {
        let (count, held) = (COUNT.load(Ordering::Relaxed), HELD.load(Ordering::Relaxed));
        let decision =
            session.decide(&catalogue, "dim the lights in the bedroom to 30 percent", &Options::default());
        drop(decision.unwrap());
        (COUNT.load(Ordering::Relaxed) - count, HELD.load(Ordering::Relaxed) - held)
    };
    for _ in 0..20 {
        call();
    }
    let later: Vec<_> = (0..20).map(|_| call()).collect();
    println!("allocations of a call: {}", later[0].0);
    assert!(later.iter().all(|&(_, held)| held == 0), "bytes kept by calls: {later:?}");
}
