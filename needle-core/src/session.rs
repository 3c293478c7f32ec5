//! The buffers of one thread's decisions.

use std::sync::Arc;

use crate::error::Result;
use crate::kernels::Pool;
use crate::model::Model;
use crate::nn::decoder::DecoderState;
use crate::nn::network::Network;

/// Scratch space for decisions, used by one thread at a time and reused from query to query.
///
/// It carries nothing from one query to the next: a reused session decides like a fresh one.
#[derive(Debug)]
pub struct Session {
    model: Arc<Model>,
    state: DecoderState,
    pool: Pool,
}

impl Session {
    /// A session of this model that works on the caller's thread alone.
    pub fn new(model: &Arc<Model>) -> Self {
        Self::with_pool(model, Pool::single())
    }

    /// A session that shares its work among `threads` threads, the caller's included. The decisions are the same,
    /// bit for bit.
    ///
    /// # Errors
    /// [`crate::Error::Option`] for no or more than 256 threads, or if the system cannot start so many.
    pub fn with_threads(model: &Arc<Model>, threads: usize) -> Result<Self> {
        Ok(Self::with_pool(model, Pool::new(threads)?))
    }

    fn with_pool(model: &Arc<Model>, pool: Pool) -> Self {
        Self { model: Arc::clone(model), state: DecoderState::new(model.weights()), pool }
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The network on this session's threads, and the decoder at its start; buffers keep their room.
    pub(crate) fn start(&mut self) -> (Network<'_>, &mut DecoderState) {
        self.state.truncate(0);
        (Network::new(self.model.weights(), &self.pool), &mut self.state)
    }
}
