//! Buffers of one pass, kept between passes so that decoding a token allocates next to nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ndarray::{Array2, ArrayViewMut2, s};

use crate::checkpoint::config::ModelConfig;
use crate::kernels::Activations;

/// Activations of up to `rows` positions that a layer writes and the next layer overwrites.
#[derive(Clone, Debug)]
pub(crate) struct Scratch {
    width: usize, // D
    x: Array2<f32>,
    queries: Array2<f32>,
    work: Work,
}

/// What one thread needs while it takes positions through half a layer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work {
    normed: Array2<f32>,
    attended: Array2<f32>,
    projected: Array2<f32>,
    heads: Vec<HeadScratch>,
    activations: Activations,
}

/// The buffers of a pass over U positions, (U, D) each, with stale contents.
pub(crate) struct Buffers<'a> {
    /// The residual stream.
    pub(crate) x: ArrayViewMut2<'a, f32>,
    /// The normalised input of a layer.
    pub(crate) normed: ArrayViewMut2<'a, f32>,
    /// Queries, (U, H·E).
    pub(crate) queries: ArrayViewMut2<'a, f32>,
    /// What the heads gathered, (U, H·E).
    pub(crate) attended: ArrayViewMut2<'a, f32>,
    /// The layer's output.
    pub(crate) projected: ArrayViewMut2<'a, f32>,
    /// What attention needs per thread.
    pub(crate) heads: &'a mut Vec<HeadScratch>,
    /// Room for quantised inputs of projections.
    pub(crate) activations: &'a mut Activations,
}

impl Scratch {
    /// Room for `rows` positions; more is made when it is asked for.
    pub(crate) fn new(config: &ModelConfig, rows: usize) -> Self {
        let room = Array2::zeros((rows, config.d_model));
        Self { width: config.d_model, x: room.clone(), queries: room, work: Work::default() }
    }

    /// The buffers for `rows` positions.
    pub(crate) fn buffers(&mut self, rows: usize) -> Buffers<'_> {
        let [x, queries] = [&mut self.x, &mut self.queries].map(|buffer| array(buffer, rows, self.width));
        self.work.buffers(x, queries)
    }
}

impl Work {
    /// The buffers of positions whose residual stream and queries are given.
    pub(crate) fn buffers<'a>(
        &'a mut self,
        x: ArrayViewMut2<'a, f32>,
        queries: ArrayViewMut2<'a, f32>,
    ) -> Buffers<'a> {
        let (rows, width) = x.dim();
        Buffers {
            x,
            queries,
            normed: array(&mut self.normed, rows, width),
            attended: array(&mut self.attended, rows, width),
            projected: array(&mut self.projected, rows, width),
            heads: &mut self.heads,
            activations: &mut self.activations,
        }
    }
}

/// As many [`Work`]s as threads were busy at once; the last one used is the next one lent, while it is in the cache.
#[derive(Default)]
pub(crate) struct Spares(Mutex<Vec<Work>>);

impl Spares {
    /// Calls `task` with one that nobody else uses meanwhile.
    pub(crate) fn lend(&self, task: impl FnOnce(&mut Work)) {
        let mut work = self.lock().pop().unwrap_or_default();
        task(&mut work);
        self.lock().push(work);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Work>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The buffers of one key/value head at a time, which grow with the number of keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeadScratch {
    rows: Array2<f32>,
    scores: Array2<f32>,
    sums: Array2<f32>,
    /// Room for what is quantised for a product.
    pub(crate) activations: Activations,
}

impl HeadScratch {
    /// Arrays (rows, `head_dim`), (rows, keys) and (rows, 1), with stale contents.
    pub(crate) fn buffers(
        &mut self,
        rows: usize,
        keys: usize,
        head_dim: usize,
    ) -> ([ArrayViewMut2<'_, f32>; 3], &mut Activations) {
        let arrays = [
            array(&mut self.rows, rows, head_dim),
            array(&mut self.scores, rows, keys),
            array(&mut self.sums, rows, 1),
        ];
        (arrays, &mut self.activations)
    }
}

/// The corner of `buffer` of this size, with stale contents.
fn array(buffer: &mut Array2<f32>, rows: usize, columns: usize) -> ArrayViewMut2<'_, f32> {
    let (old_rows, old_columns) = buffer.dim();
    if old_rows < rows || old_columns < columns {
        // A decoder asks for one key more each time: round up, so that it rarely allocates.
        *buffer = Array2::zeros((rows.max(old_rows), columns.next_multiple_of(256).max(old_columns)));
    }
    buffer.slice_mut(s![..rows, ..columns])
}
