//! Grouped-query attention with normalised queries and keys.

use std::iter::once;
use std::ops::Range;

use ndarray::iter::AxisChunksIterMut;
use ndarray::{ArrayRef2, ArrayView2, ArrayViewMut2, Axis, Ix2, s};

use super::kv_cache::{KvView, PackedHead};
use super::linear::{Linear, project, project_some};
use super::network::Network;
use super::norm::ZcRmsNorm;
use super::rope::Rotation;
use super::scratch::{Buffers, HeadScratch};
use crate::kernels::{self, Activations, Scaling};

/// Queries whose scores are held at once: bounds a head's scores to 32·S values and keeps them near the CPU.
const QUERY_BLOCK: usize = 32;

/// What attention costs beside its two products, softmax above all, as a factor on their multiplications.
const COST: usize = 8;

/// How the heads share the width of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads, H.
    pub num_heads: usize,
    /// Key/value heads, K; head h reads key/value head `h / (H/K)`.
    pub num_kv_heads: usize,
    /// Width of one head, E.
    pub head_dim: usize,
}

/// Which keys a query sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visible {
    /// All of them.
    All,
    /// All up to its own position; the queries are the last U positions of the keys.
    Causal,
}

/// The weights of one attention.
#[derive(Clone, Debug)]
pub struct Attention {
    pub(crate) heads: Heads,
    pub(crate) q_proj: Linear,    // D → H·E
    pub(crate) k_proj: Linear,    // D → K·E
    pub(crate) v_proj: Linear,    // D → K·E
    pub(crate) out_proj: Linear,  // H·E → D
    pub(crate) q_norm: ZcRmsNorm, // E
    pub(crate) k_norm: ZcRmsNorm, // E
}

impl Attention {
    /// Keys of `x` (S, D), normalised per head, and its values, into two arrays (S, K·E).
    pub(crate) fn keys_values(
        &self,
        network: Network<'_>,
        x: &ArrayRef2<f32>,
        activations: &mut Activations,
        (mut keys, values): (ArrayViewMut2<'_, f32>, ArrayViewMut2<'_, f32>),
    ) {
        let targets = [(&self.k_proj, keys.view_mut()), (&self.v_proj, values)];
        project(network, x, activations, targets);
        self.k_norm.forward_heads(&mut keys);
    }

    /// Queries, keys and values of what is normalised in `buffers`, queries and keys normalised per head and rotated.
    pub(crate) fn all(
        &self,
        network: Network<'_>,
        rotation: &Rotation,
        buffers: &mut Buffers<'_>,
        (mut keys, values): (ArrayViewMut2<'_, f32>, ArrayViewMut2<'_, f32>),
    ) {
        let queries = buffers.queries.view_mut();
        let targets = [(&self.q_proj, queries), (&self.k_proj, keys.view_mut()), (&self.v_proj, values)];
        project(network, &buffers.normed, buffers.activations, targets);
        finish(&self.q_norm, rotation, &mut buffers.queries);
        finish(&self.k_norm, rotation, &mut keys);
    }

    /// `x += gate · out_proj(attend(queries, pieces))`, all in `buffers`.
    pub(crate) fn add_gated<'a>(
        &self,
        network: Network<'_>,
        gate: f32,
        pieces: &(impl Iterator<Item = KvView<'a>> + Clone + Sync),
        buffers: &mut Buffers<'_>,
    ) {
        let Buffers { queries, attended, heads, .. } = buffers;
        let work = work(queries, pieces);
        let shares = self.heads.shares(network, queries, attended, heads);
        network.for_each(work, shares, |mut share| share.attend(share.first, pieces, Visible::All));
        self.add_projected(network, gate, buffers);
    }

    /// The same with the queries of what is normalised in `buffers`, projected here, which carry no positions.
    pub(crate) fn add_cross<'a>(
        &self,
        network: Network<'_>,
        gate: f32,
        pieces: &(impl Iterator<Item = KvView<'a>> + Clone + Sync),
        buffers: &mut Buffers<'_>,
    ) {
        let Buffers { normed, queries, attended, heads, .. } = buffers;
        let work = normed.len() * self.q_proj.outputs() + work(queries, pieces);
        let shares = self.heads.shares(network, queries, attended, heads);
        network.for_each(work, shares, |mut share| {
            let targets = [(&self.q_proj, share.first_query(), share.queries.view_mut())];
            project_some(normed, &mut share.scratch.activations, targets);
            self.q_norm.forward_heads(&mut share.queries);
            share.attend(share.first, pieces, Visible::All);
        });
        self.add_projected(network, gate, buffers);
    }

    /// The same with the queries, keys and values of what is normalised in `buffers`, the last of all positions: `keys` and
    /// `values` are those of all (S, K·E), of which the last are written.
    pub(crate) fn add_causal(
        &self,
        network: Network<'_>,
        gate: f32,
        rotation: &Rotation,
        (mut keys, mut values): (ArrayViewMut2<'_, f32>, ArrayViewMut2<'_, f32>),
        buffers: &mut Buffers<'_>,
    ) {
        let Buffers { normed, queries, attended, heads, .. } = buffers;
        let new = s![keys.nrows() - normed.nrows().., ..];
        let work = normed.len() * (self.q_proj.outputs() + 2 * self.k_proj.outputs());
        let [keys, values] = [&mut keys, &mut values].map(|own| self.heads.columns(network, own));
        let shares = self.heads.shares(network, queries, attended, heads).zip(keys.zip(values));
        network.for_each(work, shares, |(mut share, (mut keys, mut values))| {
            let (first_query, first_key) = (share.first_query(), share.first_key());
            let mut new_keys = keys.slice_mut(new);
            let targets = [
                (&self.q_proj, first_query, share.queries.view_mut()),
                (&self.k_proj, first_key, new_keys.view_mut()),
                (&self.v_proj, first_key, values.slice_mut(new)),
            ];
            project_some(normed, &mut share.scratch.activations, targets);
            finish(&self.q_norm, rotation, &mut share.queries);
            finish(&self.k_norm, rotation, &mut new_keys);
            // These keys are of the share's own heads only.
            share.attend(0, &once(KvView::Dense(keys.view(), values.view())), Visible::Causal);
        });
        self.add_projected(network, gate, buffers);
    }

    /// `x += gate · out_proj(attended)`.
    fn add_projected(&self, network: Network<'_>, gate: f32, buffers: &mut Buffers<'_>) {
        let Buffers { x, attended, projected, activations, .. } = buffers;
        project(network, attended, activations, [(&self.out_proj, projected.view_mut())]);
        x.scaled_add(gate, projected);
    }
}

/// Normalises projected queries or keys per head, and rotates them.
fn finish(norm: &ZcRmsNorm, rotation: &Rotation, x: &mut ArrayRef2<f32>) {
    norm.forward_heads(x);
    rotation.apply(x);
}

/// What attending to `pieces` costs, in multiplications.
fn work<'a>(queries: &ArrayRef2<f32>, pieces: &(impl Iterator<Item = KvView<'a>> + Clone)) -> usize {
    2 * COST * queries.len() * pieces.clone().map(|piece| piece.len()).sum::<usize>()
}

/// What one thread does of a pass: consecutive key/value heads, with the query heads that share them side by side.
struct Share<'a> {
    heads: Heads,
    /// The first of its key/value heads.
    first: usize,
    queries: ArrayViewMut2<'a, f32>, // (U, query heads·E)
    out: ArrayViewMut2<'a, f32>,     // (U, query heads·E)
    scratch: &'a mut HeadScratch,
}

impl Heads {
    /// Key/value heads of each thread.
    fn share(self, network: Network<'_>) -> usize {
        self.num_kv_heads.div_ceil(network.threads())
    }

    /// Width of the query heads that share a key/value head.
    fn query_width(self) -> usize {
        self.num_heads / self.num_kv_heads * self.head_dim
    }

    /// The columns of each thread's heads in keys or values (S, K·E).
    fn columns<'a>(
        self,
        network: Network<'_>,
        keys: &'a mut ArrayRef2<f32>,
    ) -> AxisChunksIterMut<'a, f32, Ix2> {
        keys.axis_chunks_iter_mut(Axis(1), self.share(network) * self.head_dim)
    }

    /// The shares of the threads; `queries` and `out` are (U, H·E).
    fn shares<'a>(
        self,
        network: Network<'_>,
        queries: &'a mut ArrayRef2<f32>,
        out: &'a mut ArrayRef2<f32>,
        scratch: &'a mut Vec<HeadScratch>,
    ) -> impl Iterator<Item = Share<'a>> {
        let share = self.share(network);
        let width = share * self.query_width();
        scratch.resize_with(scratch.len().max(network.threads()), HeadScratch::default);
        let parts =
            queries.axis_chunks_iter_mut(Axis(1), width).zip(out.axis_chunks_iter_mut(Axis(1), width));
        parts.zip(scratch).enumerate().map(move |(index, ((queries, out), scratch))| Share {
            heads: self,
            first: index * share,
            queries,
            out,
            scratch,
        })
    }
}

impl Share<'_> {
    /// The first column of its heads among all queries.
    fn first_query(&self) -> usize {
        self.first * self.heads.query_width()
    }

    /// The first column of its heads among all keys.
    fn first_key(&self) -> usize {
        self.first * self.heads.head_dim
    }

    /// `softmax(q kᵀ / sqrt(E)) v` per head, over the keys of all `pieces` together, as if they were concatenated, into `out`.
    /// The share's first head is the head `first` of the pieces, which are all dense or all quantised. Without any key the
    /// result is zero.
    fn attend<'a>(
        &mut self,
        first: usize,
        pieces: &(impl Iterator<Item = KvView<'a>> + Clone),
        visible: Visible,
    ) {
        let Self { heads, queries, out, scratch, .. } = self;
        let total = pieces.clone().map(|piece| piece.columns()).sum();
        let (rows, width) = (queries.nrows(), heads.query_width());
        let by_head = queries.axis_chunks_iter(Axis(1), width).zip(out.axis_chunks_iter_mut(Axis(1), width));
        for (index, (queries, mut out)) in by_head.enumerate() {
            let head = Head { index: first + index, width: heads.head_dim, total, visible };
            for start in (0..rows).step_by(QUERY_BLOCK) {
                let block = start..rows.min(start + QUERY_BLOCK);
                let queries = queries.slice(s![block.clone(), ..]);
                // Of the last query all keys are visible, of the one before it all but one, and so on.
                let hidden = rows - block.end;
                head.attend(&queries, pieces.clone(), hidden, scratch, &mut out.slice_mut(s![block, ..]));
            }
        }
    }
}

/// One key/value head of a pass, with the query heads that share it.
struct Head {
    index: usize,
    width: usize, // E
    total: usize, // S, columns without a key included
    visible: Visible,
}

impl Head {
    /// Attends from `queries` (block, heads·E) into `out` (block, heads·E); with [`Visible::Causal`], `hidden` is how many
    /// of the last keys not even the block's last query sees.
    fn attend<'a>(
        &self,
        queries: &ArrayRef2<f32>,
        pieces: impl Iterator<Item = KvView<'a>> + Clone,
        hidden: usize,
        scratch: &mut HeadScratch,
        out: &mut ArrayRef2<f32>,
    ) {
        let (block, shared) = (queries.nrows(), queries.ncols() / self.width);
        let ([mut rows, mut scores, mut sums], activations) =
            scratch.buffers(block * shared, self.total, self.width);
        // One row per query and head, so that every key that is read serves all of them: head 0's rows first.
        let by_head = queries.axis_chunks_iter(Axis(1), self.width);
        for (mut rows, queries) in rows.axis_chunks_iter_mut(Axis(0), block).zip(by_head) {
            rows.assign(&queries);
        }
        self.score(&rows, pieces.clone(), activations, &mut scores);
        let gaps = gaps(pieces.clone());
        let scale = 1.0 / (self.width as f32).sqrt();
        for (row, (mut scores, sum)) in scores.outer_iter_mut().zip(&mut sums).enumerate() {
            let seen = match self.visible {
                Visible::All => self.total,
                Visible::Causal => self.total - hidden - (block - 1 - row % block),
            };
            kernels::with_slice(&mut scores, |scores| {
                gaps.clone().for_each(|gap| scores[gap].fill(f32::NEG_INFINITY));
                let (seen, unseen) = scores.split_at_mut(seen);
                *sum = kernels::exponentiate(seen, scale);
                unseen.fill(0.0);
            });
        }
        self.gather(&scores, pieces, activations, &mut rows);
        // The sums that a softmax divides by are divided by here, where there are fewer numbers. Without keys they are 0.
        sums.mapv_inplace(|sum| if sum == 0.0 { 0.0 } else { 1.0 / sum });
        rows *= &sums;
        let by_head = out.axis_chunks_iter_mut(Axis(1), self.width);
        for (rows, mut out) in rows.axis_chunks_iter(Axis(0), block).zip(by_head) {
            out.assign(&rows);
        }
    }

    /// Products of `rows` (N, E) with all keys, into `scores` (N, S).
    fn score<'a>(
        &self,
        rows: &ArrayRef2<f32>,
        pieces: impl Iterator<Item = KvView<'a>> + Clone,
        activations: &mut Activations,
        scores: &mut ArrayRef2<f32>,
    ) {
        let packed = self.packed(pieces.clone());
        if packed.clone().next().is_some() {
            activations.quantise(rows, Scaling::Row);
            return kernels::matmul_packed_outputs(activations, packed.map(|head| &head.keys), scores);
        }
        for_each_dense(pieces, |columns, keys, _| {
            let mut scores = scores.slice_mut(s![.., columns]);
            kernels::matmul_transposed(rows, &keys.slice(s![.., self.own()]), &mut scores);
        });
    }

    /// Products of the weights `scores` (N, S) with all values, into `out` (N, E).
    fn gather<'a>(
        &self,
        scores: &ArrayRef2<f32>,
        pieces: impl Iterator<Item = KvView<'a>> + Clone,
        activations: &mut Activations,
        out: &mut ArrayRef2<f32>,
    ) {
        let packed = self.packed(pieces.clone());
        if packed.clone().next().is_some() {
            activations.quantise(scores, Scaling::Group);
            return kernels::matmul_packed_inputs(activations, &packed.map(|head| &head.values), out);
        }
        out.fill(0.0);
        for_each_dense(pieces, |columns, _, values| {
            let weights = scores.slice(s![.., columns]);
            kernels::matmul_add(&weights, &values.slice(s![.., self.own()]), out);
        });
    }

    /// This head of the pieces that are quantised.
    fn packed<'a>(
        &self,
        pieces: impl Iterator<Item = KvView<'a>> + Clone,
    ) -> impl Iterator<Item = &'a PackedHead> + Clone {
        pieces.filter_map(|piece| match piece {
            KvView::Packed(packed) => packed.heads.get(self.index),
            KvView::Dense(..) => None,
        })
    }

    /// Its columns among those of all heads.
    fn own(&self) -> Range<usize> {
        self.index * self.width..(self.index + 1) * self.width
    }
}

/// The columns of scores that belong to no key.
fn gaps<'a>(pieces: impl Iterator<Item = KvView<'a>> + Clone) -> impl Iterator<Item = Range<usize>> + Clone {
    let mut end = 0;
    pieces.filter_map(move |piece| {
        let start = end + piece.len();
        end += piece.columns();
        (start < end).then_some(start..end)
    })
}

/// Visits keys and values that are not quantised, with the columns that each piece takes in the scores.
fn for_each_dense<'a>(
    pieces: impl Iterator<Item = KvView<'a>>,
    mut visit: impl FnMut(Range<usize>, ArrayView2<'a, f32>, ArrayView2<'a, f32>),
) {
    let mut start = 0;
    for piece in pieces {
        if let KvView::Dense(keys, values) = piece {
            let end = start + keys.nrows();
            visit(start..end, keys, values);
            start = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::config::ModelConfig;
    use crate::error::Result;
    use crate::nn::assert_close;
    use crate::nn::weights::{Source, Weights};
    use ndarray::{Array2, arr2};

    /// Attention alone reads no weights; a pass has some all the same.
    struct Zeros;

    impl Source for Zeros {
        fn take(&mut self, _: &str, shape: &[usize]) -> Result<Vec<f32>> {
            Ok(vec![0.0; shape.iter().product()])
        }
    }

    fn config() -> ModelConfig {
        serde_json::from_value(serde_json::json!({
            "vocab_size": 8, "d_model": 8, "num_heads": 2, "num_kv_heads": 2, "num_encoder_layers": 1,
            "num_decoder_layers": 1, "contrastive_dim": 2, "max_seq_len": 8,
        }))
        .unwrap()
    }

    /// One query head of width 1 whose score for key k is `q·k`; exp(ln 3) = 3.
    const ONE: Heads = Heads { num_heads: 1, num_kv_heads: 1, head_dim: 1 };

    fn attend_to(q: &Array2<f32>, kv: &[[Array2<f32>; 2]], visible: Visible, heads: Heads) -> Array2<f32> {
        let weights = Weights::load(&config(), &mut Zeros).unwrap();
        let pieces = kv.iter().map(|[k, v]| KvView::Dense(k.view(), v.view()));
        let (mut q, mut out, mut scratch) = (q.clone(), Array2::from_elem(q.dim(), f32::NAN), Vec::new());
        for mut share in heads.shares(Network::from(&weights), &mut q, &mut out, &mut scratch) {
            share.attend(0, &pieces, visible);
        }
        out
    }

    #[test]
    fn weights_are_the_softmax_of_scores_over_all_pieces() {
        // Scores 0 | ln 3, 0 → weights 1/5 | 3/5, 1/5; values 5 | 10, 20 → 1 + 6 + 4.
        let first = [arr2(&[[0.0]]), arr2(&[[5.0]])];
        let second = [arr2(&[[3.0_f32.ln()], [0.0]]), arr2(&[[10.0], [20.0]])];
        let out = attend_to(&arr2(&[[1.0]]), &[first, second], Visible::All, ONE);
        assert_close(&out, &arr2(&[[11.0]]), 1e-5);
    }

    #[test]
    fn causal_queries_see_keys_up_to_their_own() {
        // Three keys, two queries: the first sees two values (mean 15), the second all three (mean 20).
        let kv = [Array2::zeros((3, 1)), arr2(&[[10.0], [20.0], [30.0]])];
        let out = attend_to(&arr2(&[[1.0], [1.0]]), &[kv], Visible::Causal, ONE);
        assert_close(&out, &arr2(&[[15.0], [20.0]]), 1e-5);
    }

    #[test]
    fn consecutive_query_heads_share_a_key_value_head() {
        let heads = Heads { num_heads: 4, num_kv_heads: 2, head_dim: 1 };
        let kv = [arr2(&[[1.0, 1.0]]), arr2(&[[7.0, 9.0]])];
        let out = attend_to(&Array2::ones((1, 4)), &[kv], Visible::All, heads);
        assert_close(&out, &arr2(&[[7.0, 7.0, 9.0, 9.0]]), 0.0);
    }

    #[test]
    fn no_key_gives_zero() {
        assert_close(&attend_to(&arr2(&[[1.0]]), &[], Visible::All, ONE), &arr2(&[[0.0]]), 0.0);
    }
}
