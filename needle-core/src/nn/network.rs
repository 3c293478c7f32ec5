//! Weights together with the threads that work on them.

use super::weights::Weights;
use crate::kernels::Pool;

/// What every pass takes: the weights, and a pool if the caller's thread is not to work alone.
///
/// `&Weights` converts into it, for passes on one thread. Results do not depend on the pool.
#[derive(Clone, Copy, Debug)]
pub struct Network<'a> {
    /// The weights.
    pub weights: &'a Weights,
    pool: Option<&'a Pool>,
}

impl<'a> Network<'a> {
    /// These weights on the threads of `pool`.
    pub fn new(weights: &'a Weights, pool: &'a Pool) -> Self {
        Self { weights, pool: (pool.threads() > 1).then_some(pool) }
    }

    /// Threads of a pass.
    pub(crate) fn threads(&self) -> usize {
        self.pool.map_or(1, Pool::threads)
    }

    /// Runs `task` on every item; on several threads if there are several and `work` (in multiplications) pays for them.
    pub(crate) fn for_each<T: Send>(
        &self,
        work: usize,
        items: impl IntoIterator<Item = T>,
        task: impl Fn(T) + Sync,
    ) {
        /// Below this, handing over costs about as much as it saves.
        const WORTH_SHARING: usize = 200_000;
        match self.pool {
            Some(pool) if work >= WORTH_SHARING => pool.for_each(items.into_iter().collect(), task),
            _ => items.into_iter().for_each(task),
        }
    }
}

impl<'a> From<&'a Weights> for Network<'a> {
    fn from(weights: &'a Weights) -> Self {
        Self { weights, pool: None }
    }
}
