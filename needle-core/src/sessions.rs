//! Sessions that wait for a thread to use them.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;
use crate::model::Model;
use crate::session::Session;

/// As many sessions as threads have decided at once; each is used by one thread at a time.
#[derive(Debug)]
pub struct Sessions {
    model: Arc<Model>,
    threads: usize,
    idle: Mutex<Vec<Owned>>,
}

/// A session of the process that made it.
#[derive(Debug)]
struct Owned {
    process: u32,
    session: Option<Session>,
}

impl Sessions {
    /// Threads of each session.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// One session that shares its work among so many threads; the others are made when they are needed.
    ///
    /// # Errors
    /// Those of [`Session::with_threads`].
    pub fn new(model: &Arc<Model>, threads: usize) -> Result<Self> {
        let sessions = Self { model: Arc::clone(model), threads, idle: Mutex::default() };
        sessions.with(|_| Ok(()))?;
        Ok(sessions)
    }

    /// Works with a session that no other thread has; one whose work panics is not used again.
    ///
    /// # Errors
    /// Those of `work`, and of [`Session::with_threads`].
    pub fn with<T>(&self, work: impl FnOnce(&mut Session) -> Result<T>) -> Result<T> {
        let mut session = match self.take() {
            Some(session) => session,
            None => Session::with_threads(&self.model, self.threads)?,
        };
        let result = work(&mut session);
        let owned = Owned { process: std::process::id(), session: Some(session) };
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(owned);
        result
    }

    fn take(&self) -> Option<Session> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(Owned::is_alive);
        idle.pop().and_then(|mut owned| owned.session.take())
    }
}

impl Owned {
    fn is_alive(&self) -> bool {
        self.process == std::process::id()
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if !self.is_alive() {
            // Threads do not survive a fork; the session would wait for its own for ever.
            std::mem::forget(self.session.take());
        }
    }
}
