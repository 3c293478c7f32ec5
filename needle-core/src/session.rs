//! The buffers of one thread's decisions.

use std::sync::Arc;

use crate::model::Model;
use crate::nn::decoder::DecoderState;

/// Scratch space for decisions, used by one thread at a time and reused from query to query.
///
/// It carries nothing from one query to the next: a reused session decides like a fresh one.
#[derive(Debug)]
pub struct Session {
    model: Arc<Model>,
    state: DecoderState,
}

impl Session {
    /// A session of this model.
    pub fn new(model: &Arc<Model>) -> Self {
        Self { model: Arc::clone(model), state: DecoderState::new(model.weights()) }
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The decoder at its start; buffers keep their room.
    pub(crate) fn fresh_state(&mut self) -> &mut DecoderState {
        self.state.truncate(0);
        &mut self.state
    }
}
