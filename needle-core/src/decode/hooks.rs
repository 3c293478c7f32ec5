//! What a caller may attach to one decision: a flag to cancel it and a listener to its progress.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Progress of a decision. All of it is provisional: only the decision says whether the calls may be made. A model that
/// tries alternatives reports the answer that it chose once it has chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// More of the answer's text, in whole characters; the pieces concatenate to the whole text.
    Text(&'a str),
    /// The tool of a call is known.
    ToolName {
        /// Index of the call.
        call: usize,
        /// The tool's name, as the caller spelled it.
        name: &'a str,
    },
    /// All arguments of a call are written.
    CallFinished {
        /// Index of the call.
        call: usize,
    },
    /// The model has finished; nothing follows.
    Done,
}

/// A flag to cancel a decision and a listener to its progress; by default neither.
#[derive(Default)]
pub struct Hooks<'a> {
    /// Once true, the decision ends with [`Error::Cancelled`]; looked at between steps.
    pub cancel: Option<Arc<AtomicBool>>,
    /// Called for every [`Event`], on the caller's thread.
    pub on_event: Option<&'a mut dyn FnMut(Event<'_>)>,
}

impl Hooks<'_> {
    pub(crate) fn emit(&mut self, event: Event<'_>) {
        if let Some(listener) = &mut self.on_event {
            listener(event);
        }
    }

    /// Returns an error if the flag is set or the deadline, counted from `start`, is over.
    pub(crate) fn check(&self, start: Instant, deadline: Option<Duration>) -> Result<()> {
        if self.cancel.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed)) {
            return Err(Error::Cancelled);
        }
        match deadline {
            Some(limit) if start.elapsed() >= limit => Err(Error::DeadlineExceeded),
            _ => Ok(()),
        }
    }
}
