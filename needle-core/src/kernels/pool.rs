//! A few threads that share the work of one product and wait for the next one.
//!
//! Products of one token take microseconds, less than waking a sleeping thread; so workers spin for a moment after
//! each before they sleep. Which thread does which part never changes a result: parts are computed independently.
#![allow(unsafe_code, reason = "workers run a closure that borrows from the caller, who waits for them")]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::error::{Error, Result};

/// Rounds of spinning before a worker sleeps: about a tenth of a millisecond.
const SPINS: u32 = 3000;

/// What the threads of a pool run together; each calls it once.
type Job = *const (dyn Fn() + Sync);

/// Threads for the products of one session.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    /// Number of the newest job, to be watched without the lock.
    newest: AtomicU64,
    /// Workers inside the current job.
    inside: AtomicUsize,
    panicked: AtomicBool,
}

#[derive(Default)]
struct State {
    job: Option<Open>,
    newest: u64,
    asleep: usize,
    stopping: bool,
}

/// The job that workers may still join.
#[derive(Clone, Copy)]
struct Open(Job);

// SAFETY: the closure behind the pointer is `Sync`, and `Pool::run` outlives every use of it.
unsafe impl Send for Open {}

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

    /// Calls `task` once for every item, on all threads; returns when all are done.
    ///
    /// # Panics
    /// If `task` does.
    pub fn for_each<T: Send>(&self, items: Vec<T>, task: impl Fn(T) + Sync) {
        if self.workers.is_empty() || items.len() < 2 {
            return items.into_iter().for_each(task);
        }
        let slots: Vec<Mutex<Option<T>>> = items.into_iter().map(|item| Mutex::new(Some(item))).collect();
        let next = AtomicUsize::new(0);
        self.run(&|| {
            while let Some(slot) = slots.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Some(item) = lock(slot).take() {
                    task(item);
                }
            }
        });
    }

    /// Calls `job` on the caller's thread and on every worker that is quick enough to join.
    fn run(&self, job: &(dyn Fn() + Sync)) {
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes. Below, the job is withdrawn and every worker has left it before `job` goes out
        // of scope, also when it panics here.
        let job: Job = unsafe { std::mem::transmute::<&(dyn Fn() + Sync), &'static (dyn Fn() + Sync)>(job) };
        {
            let mut state = lock(&shared.state);
            state.job = Some(Open(job));
            state.newest += 1;
            shared.newest.store(state.newest, Ordering::Release);
            if state.asleep > 0 {
                shared.wake.notify_all();
            }
        }
        // SAFETY: `job` is borrowed for the whole of this function.
        let own = catch_unwind(AssertUnwindSafe(|| unsafe { (*job)() }));
        lock(&shared.state).job = None;
        while shared.inside.load(Ordering::Acquire) > 0 {
            std::hint::spin_loop();
        }
        if let Err(panic) = own {
            resume_unwind(panic);
        }
        assert!(!shared.panicked.swap(false, Ordering::Relaxed), "a worker thread panicked");
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        lock(&self.shared.state).stopping = true;
        self.shared.newest.fetch_add(1, Ordering::Release);
        self.shared.wake.notify_all();
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
        let mut spins = 0;
        while spins < SPINS && shared.newest.load(Ordering::Acquire) == seen {
            std::hint::spin_loop();
            spins += 1;
        }
        let mut state = lock(&shared.state);
        while state.newest == seen && !state.stopping {
            state.asleep += 1;
            state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.asleep -= 1;
        }
        if state.stopping {
            return;
        }
        seen = state.newest;
        let Some(Open(job)) = state.job else { continue };
        // Under the lock: once `run` has withdrawn the job, nobody enters.
        shared.inside.fetch_add(1, Ordering::Relaxed);
        drop(state);
        // SAFETY: `run` waits for `inside` to be 0 before its job goes out of scope.
        if catch_unwind(AssertUnwindSafe(|| unsafe { (*job)() })).is_err() {
            shared.panicked.store(true, Ordering::Relaxed);
        }
        shared.inside.fetch_sub(1, Ordering::Release);
    }
}

/// Locks; a poisoned lock is taken all the same, because no state is left half-changed under one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn impossible_counts_are_refused() {
        assert!(Pool::new(0).is_err() && Pool::new(257).is_err());
    }
}
