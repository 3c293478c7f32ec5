//! Forks. The child has one thread and a copy of every lock as it is, so none may be held when it begins.

use std::cell::RefCell;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use pyo3::prelude::*;

/// Read by work of the engine, which has locks of its own; written by a fork.
static QUIET: RwLock<()> = RwLock::new(());

thread_local! {
    /// What a fork holds between its two hooks, which run on the thread that forks.
    static FORKING: RefCell<Option<RwLockWriteGuard<'static, ()>>> = const { RefCell::new(None) };
}

/// Held while the engine works; forks wait for it.
pub(crate) fn working() -> RwLockReadGuard<'static, ()> {
    QUIET.read().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until the engine does nothing, and lets it begin nothing until `after_fork`.
#[pyfunction]
pub(crate) fn before_fork(py: Python<'_>) {
    py.detach(|| {
        let guard = QUIET.write().unwrap_or_else(PoisonError::into_inner);
        FORKING.replace(Some(guard));
    });
}

/// Lets the engine work again, in the parent and in the child.
#[pyfunction]
pub(crate) fn after_fork() {
    FORKING.replace(None);
}
