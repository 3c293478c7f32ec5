//! Buffers of one pass, kept between passes so that decoding a token allocates next to nothing.

use ndarray::{Array2, ArrayViewMut2, s};

use crate::checkpoint::config::ModelConfig;

/// Activations of up to `rows` positions that a layer writes and the next layer overwrites.
#[derive(Clone, Debug)]
pub(crate) struct Scratch {
    arrays: [Array2<f32>; 5], // (rows, D) each
    scores: Scores,
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
    /// Attention scores.
    pub(crate) scores: &'a mut Scores,
}

impl Scratch {
    /// Room for `rows` positions; more is made when it is asked for.
    pub(crate) fn new(config: &ModelConfig, rows: usize) -> Self {
        Self {
            arrays: std::array::from_fn(|_| Array2::zeros((rows, config.d_model))),
            scores: Scores::default(),
        }
    }

    /// The buffers for `rows` positions.
    pub(crate) fn buffers(&mut self, rows: usize) -> Buffers<'_> {
        let [x, normed, queries, attended, projected] = self.arrays.each_mut().map(|array| {
            if array.nrows() < rows {
                *array = Array2::zeros((rows, array.ncols()));
            }
            array.slice_mut(s![..rows, ..])
        });
        Buffers { x, normed, queries, attended, projected, scores: &mut self.scores }
    }
}

/// The buffer of attention scores, which grows with the number of keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scores(Array2<f32>);

impl Scores {
    /// A buffer (rows, keys) with stale contents.
    pub(crate) fn buffer(&mut self, rows: usize, keys: usize) -> ArrayViewMut2<'_, f32> {
        let (old_rows, old_keys) = self.0.dim();
        if old_rows < rows || old_keys < keys {
            // A decoder asks for one key more each time: round up, so that it rarely allocates.
            self.0 = Array2::zeros((rows.max(old_rows), keys.next_multiple_of(256).max(old_keys)));
        }
        self.0.slice_mut(s![..rows, ..keys])
    }
}
