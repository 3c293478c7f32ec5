//! Keys and values of attention: fixed ones of finished positions, and the growing cache of a decoder.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, s};

use super::attention::Heads;
use super::network::Network;
use crate::checkpoint::GROUP;
use crate::kernels::{Isa, PackedMatrix};

/// Keys and values of S positions, computed once: keys after their norm and rotation.
#[derive(Clone, Debug)]
pub struct KeyValues {
    keys: Array2<f32>,   // (S, K·E)
    values: Array2<f32>, // (S, K·E)
}

/// Keys and values that do not change any more, in the form in which the network's weights are kept: f32, or int8.
#[derive(Clone, Debug)]
pub enum FixedKv {
    /// As computed.
    Dense(KeyValues),
    /// Quantised, a quarter of the size: keys with a scale each, values in groups of 32 along the positions, as the weights
    /// of attention are.
    Packed(PackedKv),
}

/// Quantised keys and values, for each key/value head.
#[derive(Clone, Debug)]
pub struct PackedKv {
    pub(crate) heads: Vec<PackedHead>,
    len: usize,
}

/// Quantised keys and values of one head.
#[derive(Clone, Debug)]
pub(crate) struct PackedHead {
    pub(crate) keys: PackedMatrix,   // (S, E)
    pub(crate) values: PackedMatrix, // (E, S), S filled up to a multiple of 32
}

/// Borrowed keys and values, the form in which attention takes them.
#[derive(Clone, Copy, Debug)]
pub enum KvView<'a> {
    /// Keys and values, (S, K·E) each.
    Dense(ArrayView2<'a, f32>, ArrayView2<'a, f32>),
    /// Quantised ones.
    Packed(&'a PackedKv),
}

impl KvView<'_> {
    /// Number of positions, S.
    pub fn len(&self) -> usize {
        match self {
            Self::Dense(keys, _) => keys.nrows(),
            Self::Packed(packed) => packed.len,
        }
    }

    /// Whether there is no position.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Columns of scores that the keys take: quantised ones whole groups, as their values do.
    pub(crate) fn columns(&self) -> usize {
        match self {
            Self::Dense(..) => self.len(),
            Self::Packed(_) => self.len().next_multiple_of(GROUP),
        }
    }
}

impl KeyValues {
    /// Room for `positions` keys and values of width `kv_dim` (K·E), filled with zeros.
    pub(crate) fn zeros(positions: usize, kv_dim: usize) -> Self {
        Self { keys: Array2::zeros((positions, kv_dim)), values: Array2::zeros((positions, kv_dim)) }
    }

    /// The keys and values, to be written.
    pub(crate) fn view_mut(&mut self) -> (ArrayViewMut2<'_, f32>, ArrayViewMut2<'_, f32>) {
        (self.keys.view_mut(), self.values.view_mut())
    }

    /// Width of a key, K·E.
    fn kv_dim(&self) -> usize {
        self.keys.ncols()
    }

    /// Ends writing: quantises if the network's weights are quantised.
    pub(crate) fn fix(self, network: Network<'_>, heads: Heads) -> FixedKv {
        /// What rounding and packing a number costs, in multiplications.
        const WORK: usize = 20;
        if !network.weights.is_packed {
            return FixedKv::Dense(self);
        }
        let isa = Isa::best();
        let keys = self.keys.axis_chunks_iter(Axis(1), heads.head_dim);
        let values = self.values.axis_chunks_iter(Axis(1), heads.head_dim);
        let mut packed = vec![None; heads.num_kv_heads];
        let items = packed.iter_mut().zip(keys.zip(values));
        network.for_each(2 * WORK * self.keys.len(), items, |(packed, (keys, values))| {
            *packed = Some(PackedHead {
                keys: PackedMatrix::quantise_rows(&keys, isa),
                values: PackedMatrix::quantise_columns(&values, isa),
            });
        });
        FixedKv::Packed(PackedKv { heads: packed.into_iter().flatten().collect(), len: self.keys.nrows() })
    }
}

impl FixedKv {
    /// The keys and values, to be read.
    pub fn view(&self) -> KvView<'_> {
        match self {
            Self::Dense(kv) => KvView::Dense(kv.keys.view(), kv.values.view()),
            Self::Packed(packed) => KvView::Packed(packed),
        }
    }

    /// Whether attention with these heads can read it, in a network whose weights are quantised or not.
    pub(crate) fn fits(&self, heads: Heads, is_packed: bool) -> bool {
        match self {
            Self::Dense(kv) => !is_packed && kv.kv_dim() == heads.num_kv_heads * heads.head_dim,
            Self::Packed(packed) => {
                is_packed
                    && packed.heads.len() == heads.num_kv_heads
                    && packed.heads.iter().all(|head| head.values.outputs() == heads.head_dim)
            }
        }
    }
}

/// A cache that grows by whole rows and can be rolled back.
#[derive(Clone, Debug)]
pub struct KvCache {
    store: KeyValues, // (capacity, K·E); only the first `len` rows mean anything
    len: usize,
}

impl KvCache {
    /// An empty cache for keys of width `kv_dim` (K·E).
    pub(crate) fn new(kv_dim: usize) -> Self {
        Self { store: KeyValues::zeros(0, kv_dim), len: 0 }
    }

    /// Width of a key, K·E.
    pub(crate) fn kv_dim(&self) -> usize {
        self.store.kv_dim()
    }

    /// Adds `count` rows, to be overwritten, and returns all, keys first, (len, K·E) each.
    pub(crate) fn extend(&mut self, count: usize) -> (ArrayViewMut2<'_, f32>, ArrayViewMut2<'_, f32>) {
        let start = self.len;
        self.len += count;
        let capacity = self.store.keys.nrows();
        if self.len > capacity {
            // Doubling makes the copies a constant cost per position.
            let mut grown = KeyValues::zeros(self.len.max(2 * capacity).max(64), self.kv_dim());
            grown.keys.slice_mut(s![..start, ..]).assign(&self.store.keys.slice(s![..start, ..]));
            grown.values.slice_mut(s![..start, ..]).assign(&self.store.values.slice(s![..start, ..]));
            self.store = grown;
        }
        let rows = s![..self.len, ..];
        (self.store.keys.slice_mut(rows), self.store.values.slice_mut(rows))
    }

    /// Forgets all rows from `len` on; a `len` beyond the end changes nothing.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}
