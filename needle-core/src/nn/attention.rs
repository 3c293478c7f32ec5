//! Grouped-query attention with normalised queries and keys.

use ndarray::{ArrayRef2, ArrayViewMut2, s};

use super::kv_cache::KvView;
use super::linear::Linear;
use super::norm::ZcRmsNorm;
use super::rope::Rotation;
use super::scratch::{Buffers, Scores};
use crate::kernels;

/// Query rows whose scores are held at once: bounds the scores to 64·S values and keeps them near the CPU.
const QUERY_BLOCK: usize = 64;

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
pub enum Visible {
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
    /// Queries of `x` (U, D), normalised per head and rotated where positions count, into `out` (U, H·E).
    pub(crate) fn queries(&self, x: &ArrayRef2<f32>, rotation: Option<&Rotation>, out: &mut ArrayRef2<f32>) {
        self.q_proj.forward(x, out);
        self.q_norm.forward_heads(out);
        if let Some(rotation) = rotation {
            rotation.apply(out);
        }
    }

    /// Keys of `x` (S, D), normalised per head and rotated where positions count, and its values, into the
    /// two arrays of `out` (S, K·E).
    pub(crate) fn keys_values(
        &self,
        x: &ArrayRef2<f32>,
        rotation: Option<&Rotation>,
        (mut keys, mut values): (ArrayViewMut2<f32>, ArrayViewMut2<f32>),
    ) {
        self.k_proj.forward(x, &mut keys);
        self.k_norm.forward_heads(&mut keys);
        if let Some(rotation) = rotation {
            rotation.apply(&mut keys);
        }
        self.v_proj.forward(x, &mut values);
    }

    /// `x += gate · out_proj(attend(queries, pieces))`, all in `buffers`.
    pub(crate) fn add_gated<'a>(
        &self,
        gate: f32,
        pieces: &(impl Iterator<Item = KvView<'a>> + Clone),
        visible: Visible,
        buffers: &mut Buffers,
    ) {
        attend(self.heads, &buffers.queries, pieces, visible, buffers.scores, &mut buffers.attended);
        self.out_proj.forward(&buffers.attended, &mut buffers.projected);
        buffers.x.scaled_add(gate, &buffers.projected);
    }
}

/// `softmax(q kᵀ / sqrt(E)) v` per head, over the keys of all `pieces` together, as if they were concatenated.
///
/// `queries` and `out` are (U, H·E); every piece has keys and values (S, K·E). Without any key the result is
/// zero.
fn attend<'a>(
    heads: Heads,
    queries: &ArrayRef2<f32>,
    pieces: &(impl Iterator<Item = KvView<'a>> + Clone),
    visible: Visible,
    scores: &mut Scores,
    out: &mut ArrayRef2<f32>,
) {
    let Heads { num_heads, num_kv_heads, head_dim } = heads;
    let total: usize = pieces.clone().map(|piece| piece.keys.nrows()).sum(); // S
    let rows = queries.nrows(); // U
    let scale = 1.0 / (head_dim as f32).sqrt();
    out.fill(0.0);
    for start in (0..rows).step_by(QUERY_BLOCK) {
        let block = start..rows.min(start + QUERY_BLOCK);
        let mut scores = scores.buffer(block.len(), total); // (block, S)
        for head in 0..num_heads {
            let own = head * head_dim..(head + 1) * head_dim;
            let kv_head = head / (num_heads / num_kv_heads);
            let shared = kv_head * head_dim..(kv_head + 1) * head_dim;

            let q = queries.slice(s![block.clone(), own.clone()]); // (block, E)
            for_each_piece(pieces.clone(), |columns, piece| {
                let keys = piece.keys.slice(s![.., shared.clone()]); // (piece, E)
                kernels::matmul_transposed(&q, &keys, &mut scores.slice_mut(s![.., columns]));
            });
            for (row, mut scores) in block.clone().zip(scores.outer_iter_mut()) {
                let seen = match visible {
                    Visible::All => total,
                    Visible::Causal => total - (rows - 1 - row),
                };
                kernels::softmax(&mut scores.slice_mut(s![..seen]), scale);
                scores.slice_mut(s![seen..]).fill(0.0);
            }
            for_each_piece(pieces.clone(), |columns, piece| {
                let values = piece.values.slice(s![.., shared.clone()]); // (piece, E)
                let mut out = out.slice_mut(s![block.clone(), own.clone()]); // (block, E)
                kernels::matmul_add(&scores.slice(s![.., columns]), &values, &mut out);
            });
        }
    }
}

/// Visits the pieces with the columns that each takes in the scores.
fn for_each_piece<'a>(
    pieces: impl Iterator<Item = KvView<'a>>,
    mut visit: impl FnMut(std::ops::Range<usize>, KvView<'a>),
) {
    let mut start = 0;
    for piece in pieces {
        let end = start + piece.keys.nrows();
        visit(start..end, piece);
        start = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::assert_close;
    use ndarray::{Array2, arr2};

    /// One query head of width 1 whose score for key k is `q·k`; exp(ln 3) = 3.
    const ONE: Heads = Heads { num_heads: 1, num_kv_heads: 1, head_dim: 1 };

    fn attend_to(q: &Array2<f32>, kv: &[[Array2<f32>; 2]], visible: Visible, heads: Heads) -> Array2<f32> {
        let pieces = kv.iter().map(|[k, v]| KvView { keys: k.view(), values: v.view() });
        let mut out = Array2::from_elem(q.dim(), f32::NAN);
        attend(heads, q, &pieces, visible, &mut Scores::default(), &mut out);
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
