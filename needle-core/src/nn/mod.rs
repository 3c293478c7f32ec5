//! The network: a Simple Attention Network (encoder-decoder of attention layers, no feed-forward).
//!
//! Letters in shape comments: `T` source length, `U` target length, `S` keys attended to, `D` `d_model`,
//! `H` query heads, `K` key/value heads, `E` `head_dim`, `L` layers, `V` vocabulary, `C` `contrastive_dim`.
//! Matrices are row-major (out, in), so that `y = W x`; activations are (positions, width). Arithmetic is f32.
//! No function starts threads, and the same input gives the same bits.

pub mod attention;
pub mod contrastive;
pub mod copy_head;
pub mod decoder;
pub mod encoder;
pub mod kv_cache;
pub mod linear;
pub mod norm;
pub mod rope;
mod scratch;
pub mod weights;
