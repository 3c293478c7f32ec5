//! The network: a Simple Attention Network (encoder-decoder of attention layers, no feed-forward).
//!
//! Letters in shape comments: `T` source length, `U` target length, `S` keys attended to, `D` `d_model`,
//! `H` query heads, `K` key/value heads, `E` `head_dim`, `L` layers, `V` vocabulary, `C` `contrastive_dim`, `S` width of the
//! static embedding.
//! Matrices are row-major (out, in), so that `y = W x`; activations are (positions, width). Arithmetic is f32,
//! or int8 within groups of 32 where the weights are quantised. The same input gives the same bits, whatever the
//! number of threads.

pub mod attention;
pub mod contrastive;
pub mod copy_head;
pub mod decoder;
pub mod encoder;
pub mod kv_cache;
pub mod linear;
pub mod network;
pub mod norm;
pub mod rope;
mod scratch;
pub mod static_embedding;
pub mod weights;

#[cfg(test)]
fn assert_close(found: &ndarray::Array2<f32>, expected: &ndarray::Array2<f32>, tolerance: f32) {
    let close = |(a, b): (&f32, &f32)| (a - b).abs() <= tolerance;
    assert_eq!(found.dim(), expected.dim());
    assert!(found.iter().zip(expected).all(close), "found {found}, expected {expected}");
}
