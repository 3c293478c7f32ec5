//! Keys and values of attention: fixed ones of finished positions, and the growing cache of a decoder.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};

/// Keys and values of S positions, computed once: keys after their norm and rotation.
#[derive(Clone, Debug)]
pub struct KeyValues {
    keys: Array2<f32>,   // (S, K·E)
    values: Array2<f32>, // (S, K·E)
}

/// Borrowed keys and values, the form in which attention takes them.
#[derive(Clone, Copy, Debug)]
pub struct KvView<'a> {
    /// (S, K·E)
    pub keys: ArrayView2<'a, f32>,
    /// (S, K·E)
    pub values: ArrayView2<'a, f32>,
}

impl KeyValues {
    /// Room for `positions` keys and values of width `kv_dim` (K·E), filled with zeros.
    pub(crate) fn zeros(positions: usize, kv_dim: usize) -> Self {
        Self { keys: Array2::zeros((positions, kv_dim)), values: Array2::zeros((positions, kv_dim)) }
    }

    /// The keys and values, to be read.
    pub fn view(&self) -> KvView<'_> {
        KvView { keys: self.keys.view(), values: self.values.view() }
    }

    /// The keys and values, to be written.
    pub(crate) fn view_mut(&mut self) -> (ArrayViewMut2<'_, f32>, ArrayViewMut2<'_, f32>) {
        (self.keys.view_mut(), self.values.view_mut())
    }

    /// Width of a key, K·E.
    pub(crate) fn kv_dim(&self) -> usize {
        self.keys.ncols()
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

    /// The cached keys and values, (len, K·E) each.
    pub fn view(&self) -> KvView<'_> {
        KvView {
            keys: self.store.keys.slice(s![..self.len, ..]),
            values: self.store.values.slice(s![..self.len, ..]),
        }
    }

    /// Adds `count` rows and returns them, keys first, to be overwritten.
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
        let rows = s![start..self.len, ..];
        (self.store.keys.slice_mut(rows), self.store.values.slice_mut(rows))
    }

    /// Forgets all rows from `len` on; a `len` beyond the end changes nothing.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}
