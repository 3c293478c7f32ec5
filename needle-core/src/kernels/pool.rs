//! A few threads that share the work of one product and wait for the next one.
//!
//! Products of one token take microseconds, less than waking a sleeping thread; so workers spin for a moment after
//! each before they sleep, and a job is handed over by a few atomic numbers in one cache line. Which thread does which part
//! never changes a result: parts are computed independently.
#![allow(unsafe_code, reason = "workers run a closure that borrows from the caller, who waits for them")]

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::error::{Error, Result};

/// Rounds of spinning before a worker sleeps: about a tenth of a millisecond.
const SPINS: u32 = 3000;

/// Set in [`Shared::inside`] while no worker may enter the job.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// What the threads of a pool run together; each calls it once or more, and calls that find nothing to do return.
type Job<'a> = &'a (dyn Fn() + Sync);

/// Threads for the products of one session.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    handover: Handover,
    /// Workers that sleep or are about to.
    asleep: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
    panicked: AtomicBool,
    stopping: AtomicBool,
    /// Whether there is a job, so that nobody else may bring one.
    busy: AtomicBool,
}

/// What changes hands with each job, in a cache line of its own.
#[repr(align(64))]
struct Handover {
    /// Number of the newest job.
    newest: AtomicU64,
    /// The newest job; it may be read only while inside.
    job: AtomicPtr<Job<'static>>,
    /// Workers inside the job, and [`CLOSED`].
    inside: AtomicUsize,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            handover: Handover {
                newest: AtomicU64::new(0),
                job: AtomicPtr::default(),
                inside: AtomicUsize::new(CLOSED),
            },
            asleep: AtomicUsize::new(0),
            sleep: Mutex::default(),
            wake: Condvar::new(),
            panicked: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            busy: AtomicBool::new(false),
        }
    }
}

/// Items of which each is taken by one thread.
struct Items<T> {
    slots: Vec<UnsafeCell<Option<T>>>,
    next: AtomicUsize,
}

// SAFETY: `take` gives each slot to one caller only, so no two threads touch the same one; the items may be sent.
unsafe impl<T: Send> Sync for Items<T> {}

impl<T> Items<T> {
    fn new(items: Vec<T>) -> Self {
        let slots = items.into_iter().map(|item| UnsafeCell::new(Some(item))).collect();
        Self { slots, next: AtomicUsize::new(0) }
    }

    fn take(&self) -> Option<T> {
        let slot = self.slots.get(self.next.fetch_add(1, Ordering::Relaxed))?;
        // SAFETY: no other call gets this index, since the counter only grows, by fewer calls than a number can count.
        unsafe { (*slot.get()).take() }
    }
}

impl Pool {
    /// A pool of `threads` threads, the caller's included; with 1 nothing is started.
    ///
    /// # Errors
    /// [`Error::Option`] for no or more than 256 threads, or if the system cannot start so many.
    pub fn new(threads: usize) -> Result<Self> {
        let refuse = |problem| Error::Option { name: "threads", problem };
        if !(1..=256).contains(&threads) {
            return Err(refuse(format!("is {threads}; must be 1 to 256")));
        }
        let mut pool = Self::single();
        for index in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let worker = std::thread::Builder::new()
                .name(format!("needle-{index}"))
                .spawn(move || work(&shared))
                .map_err(|error| refuse(format!("{threads} cannot be started: {error}")))?;
            pool.workers.push(worker);
        }
        Ok(pool)
    }

    /// The caller's thread alone.
    pub fn single() -> Self {
        Self { shared: Arc::default(), workers: Vec::new() }
    }

    /// Number of threads, the caller's included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task` once for every item, on all threads; returns when all are done. While one call is at work, others,
    /// such as those that it makes itself, stay on their caller's thread.
    ///
    /// # Panics
    /// If `task` does.
    pub fn for_each<T: Send>(&self, items: Vec<T>, task: impl Fn(T) + Sync) {
        let is_alone = self.workers.is_empty() || items.len() < 2;
        if is_alone || self.shared.busy.swap(true, Ordering::Acquire) {
            return items.into_iter().for_each(task);
        }
        let items = Items::new(items);
        self.run(&|| {
            while let Some(item) = items.take() {
                task(item);
            }
        });
    }

    /// Calls `job` on the caller's thread and on every worker that is quick enough to join; the pool must be the caller's,
    /// who has made it busy, and it is free afterwards.
    fn run(&self, job: Job<'_>) {
        let (shared, handover) = (&*self.shared, &self.shared.handover);
        // SAFETY: only the lifetime changes. Below, the job is closed and every worker has left it before `job` goes out of
        // scope, also when it panics here; meanwhile nobody else opens it, since the pool is busy.
        let mut job = unsafe { std::mem::transmute::<Job<'_>, Job<'static>>(job) };
        handover.job.store(&raw mut job, Ordering::Relaxed);
        handover.inside.fetch_and(!CLOSED, Ordering::Release);
        handover.newest.fetch_add(1, Ordering::SeqCst);
        if shared.asleep.load(Ordering::SeqCst) > 0 {
            shared.wake_all();
        }
        let own = catch_unwind(AssertUnwindSafe(job));
        handover.inside.fetch_or(CLOSED, Ordering::Relaxed);
        while handover.inside.load(Ordering::Acquire) != CLOSED {
            std::hint::spin_loop();
        }
        let panicked = shared.panicked.swap(false, Ordering::Relaxed);
        shared.busy.store(false, Ordering::Release);
        if let Err(panic) = own {
            resume_unwind(panic);
        }
        assert!(!panicked, "a worker thread panicked");
    }
}

impl Shared {
    fn wake_all(&self) {
        // A worker that saw nothing new holds the lock until it waits, so that it hears this.
        drop(self.lock());
        self.wake.notify_all();
    }

    /// Waits until there is something newer than `seen`.
    fn wait(&self, seen: u64) {
        let is_new =
            || self.handover.newest.load(Ordering::SeqCst) != seen || self.stopping.load(Ordering::SeqCst);
        for _ in 0..SPINS {
            if self.handover.newest.load(Ordering::Relaxed) != seen {
                return;
            }
            std::hint::spin_loop();
        }
        let mut guard = self.lock();
        // Either this is seen by who comes with a job, or the job is seen here.
        self.asleep.fetch_add(1, Ordering::SeqCst);
        while !is_new() {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.asleep.fetch_sub(1, Ordering::SeqCst);
    }

    /// Enters the newest job, if it is still open, and leaves it when nothing is left to do.
    fn join(&self) {
        let inside = &self.handover.inside;
        if inside.fetch_add(1, Ordering::Acquire) & CLOSED == 0 {
            // SAFETY: `run` stores a job before it opens it, and waits until everybody has left before the job goes out of
            // scope.
            let job = unsafe { *self.handover.job.load(Ordering::Relaxed) };
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
        }
        inside.fetch_sub(1, Ordering::Release);
    }

    /// Locks; a poisoned lock is taken all the same, because it guards nothing but the sleeping.
    fn lock(&self) -> MutexGuard<'_, ()> {
        self.sleep.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.handover.newest.fetch_add(1, Ordering::SeqCst);
        self.shared.wake_all();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its jobs, so there is nothing to report.
            let _ = worker.join();
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({} threads)", self.threads())
    }
}

/// The life of a worker.
fn work(shared: &Shared) {
    let mut seen = 0;
    loop {
        shared.wait(seen);
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        seen = shared.handover.newest.load(Ordering::Acquire);
        shared.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_done_once_whatever_the_threads() {
        for threads in [1, 2, 5] {
            let pool = Pool::new(threads).unwrap();
            for count in [0, 1, 2, 7, 100] {
                let mut done = vec![0; count];
                for _ in 0..50 {
                    pool.for_each(done.iter_mut().collect(), |done| *done += 1);
                }
                assert_eq!(done, vec![50; count]);
            }
        }
    }

    #[test]
    fn sleeping_workers_wake() {
        let pool = Pool::new(3).unwrap();
        let mut done = [0; 4];
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            pool.for_each(done.iter_mut().collect(), |done| *done += 1);
        }
        assert_eq!(done, [3; 4]);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        let pool = Pool::new(3).unwrap();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.for_each((0..20).collect(), |item| assert!(item != 11, "eleven"));
        }));
        assert!(caught.is_err());
        let sum = AtomicUsize::new(0);
        pool.for_each((0..20).collect(), |item| {
            sum.fetch_add(item, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 190);
    }

    #[test]
    fn calls_within_and_beside_a_call_are_done_too() {
        let pool = Pool::new(3).unwrap();
        let sum = AtomicUsize::new(0);
        let add = |item| {
            sum.fetch_add(item, Ordering::Relaxed);
        };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        pool.for_each(vec![1, 2], |item| pool.for_each(vec![item; 10], add));
                    }
                });
            }
        });
        assert_eq!(sum.into_inner(), 3 * 200 * 30);
    }

    #[test]
    fn impossible_counts_are_refused() {
        assert!(Pool::new(0).is_err() && Pool::new(257).is_err());
    }
}
