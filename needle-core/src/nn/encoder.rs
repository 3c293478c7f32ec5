//! The encoder: bidirectional attention over one sequence, or over a query and the segments of its tools.
//!
//! Sequences are given at their own length; there is no padding and so no padding mask.

use std::iter::once;

use ndarray::iter::AxisChunksIterMut;
use ndarray::{Array2, ArrayRef2, ArrayView2, Axis, Ix2};

use super::kv_cache::{FixedKv, KeyValues};
use super::network::Network;
use super::scratch::Spares;
use super::weights::check_finite;
use crate::error::{Error, Result};
use crate::tokenizer::TokenId;

/// Final-normed output of the encoder, one row per source token.
#[derive(Clone, Debug)]
pub struct EncoderOutput {
    hidden: Array2<f32>, // (T, D)
}

impl EncoderOutput {
    /// The rows, (T, D).
    pub fn hidden(&self) -> ArrayView2<'_, f32> {
        self.hidden.view()
    }

    /// Number of source tokens, T.
    pub fn len(&self) -> usize {
        self.hidden.nrows()
    }

    /// Whether there is no source token.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// All that a later query needs to attend to a sequence that was encoded by itself.
#[derive(Clone, Debug)]
pub struct SegmentKeys {
    layers: Vec<FixedKv>, // one per encoder layer, keys at positions from 0
}

/// A sequence encoded by itself.
#[derive(Clone, Debug)]
pub struct SegmentEncoding {
    keys: SegmentKeys,
    output: EncoderOutput,
}

impl SegmentEncoding {
    /// What a later query attends to.
    pub fn keys(&self) -> &SegmentKeys {
        &self.keys
    }

    /// The same without the output, which a query does not need.
    pub fn into_keys(self) -> SegmentKeys {
        self.keys
    }

    /// The final-normed output, (T, D).
    pub fn output(&self) -> &EncoderOutput {
        &self.output
    }
}

/// Encodes one sequence in which everything attends to everything: the joint layout, or a query by itself.
///
/// # Errors
/// [`Error::Limit`] for a token outside the vocabulary, [`Error::Checkpoint`] if the numbers overflow.
pub fn encode<'a>(network: impl Into<Network<'a>>, tokens: &[TokenId]) -> Result<EncoderOutput> {
    run(network.into(), tokens, &[], &mut |_| ())
}

/// Encodes the segment of a tool, positions from 0, and keeps its keys and values of every layer.
///
/// # Errors
/// As [`encode`].
pub fn encode_segment<'a>(network: impl Into<Network<'a>>, tokens: &[TokenId]) -> Result<SegmentEncoding> {
    let network = network.into();
    let mut layers = Vec::with_capacity(network.weights.encoder.len());
    let output = run(network, tokens, &[], &mut |layer| layers.push(layer))?;
    Ok(SegmentEncoding { keys: SegmentKeys { layers }, output })
}

/// Encodes a query, positions from 0, that attends in every layer to itself and to all `segments`.
///
/// Segments carry no position among each other, so their order does not matter (beyond rounding).
///
/// # Errors
/// As [`encode`]; [`Error::Internal`] if a segment was encoded with other weights' sizes.
pub fn encode_query<'a>(
    network: impl Into<Network<'a>>,
    tokens: &[TokenId],
    segments: &[&SegmentKeys],
) -> Result<EncoderOutput> {
    let network = network.into();
    let layers = &network.weights.encoder;
    let fits = |segment: &&SegmentKeys| {
        segment.layers.len() == layers.len()
            && segment
                .layers
                .iter()
                .zip(layers)
                .all(|(kv, layer)| kv.fits(layer.attention.heads, network.weights.is_packed))
    };
    if !segments.iter().all(fits) {
        return Err(Error::Internal("a segment was encoded by another network".into()));
    }
    run(network, tokens, segments, &mut |_| ())
}

/// Positions of a block: few enough that their activations stay near the CPU, and no fewer blocks than threads where
/// that leaves each enough to do. A small input is one block, whose products the threads share.
fn block_size(positions: usize, threads: usize) -> usize {
    /// A block's activations, quantised, take about 40 KB for a width of 512.
    const MOST: usize = 60;
    /// Below this a block wastes the kernels' turns.
    const LEAST: usize = 24;
    let blocks = positions.div_ceil(MOST).next_multiple_of(threads).min(positions / LEAST).max(1);
    positions.div_ceil(blocks).max(1)
}

/// Encodes `tokens` over themselves and `segments`; hands the own keys and values of each layer to `keep`.
fn run(
    network: Network<'_>,
    tokens: &[TokenId],
    segments: &[&SegmentKeys],
    keep: &mut dyn FnMut(FixedKv),
) -> Result<EncoderOutput> {
    let weights = network.weights;
    let (count, width, kv_dim) = (tokens.len(), weights.config.d_model, weights.config.kv_dim());
    let size = block_size(count, network.threads());
    let (mut x, mut queries) = (Array2::zeros((count, width)), Array2::zeros((count, width)));
    weights.embed(tokens, &mut x)?;
    let starts = (0..count).step_by(size);
    let rotations: Vec<_> =
        starts.map(|start| weights.rope.rotation(start, size.min(count - start))).collect();
    let (spares, work) = (Spares::default(), count * width * width);
    // Of several blocks each is one thread's; one block alone is everybody's.
    let within = if rotations.len() > 1 { Network::from(weights) } else { network };
    for (index, layer) in weights.encoder.iter().enumerate() {
        let attention = &layer.attention;
        let mut own = KeyValues::zeros(count, kv_dim);
        let (mut keys, mut values) = own.view_mut();
        let own_blocks = blocks(&mut keys, size).zip(blocks(&mut values, size));
        let inputs = blocks(&mut x, size).zip(blocks(&mut queries, size));
        network.for_each(work, inputs.zip(own_blocks).zip(&rotations), |(block, rotation)| {
            let ((x, queries), own) = block;
            spares.lend(|work| {
                let mut buffers = work.buffers(x, queries);
                layer.norm.forward(&buffers.x, &mut buffers.normed);
                attention.all(within, rotation, &mut buffers, own);
            });
        });
        let own = own.fix(network, attention.heads);
        let pieces = segments.iter().map(|segment| segment.layers[index].view()).chain(once(own.view()));
        let inputs = blocks(&mut x, size).zip(blocks(&mut queries, size));
        network.for_each(work, inputs, |(x, queries)| {
            spares.lend(|work| {
                let buffers = &mut work.buffers(x, queries);
                attention.add_gated(within, layer.gate, &pieces, buffers);
            });
        });
        keep(own);
    }
    let mut hidden = Array2::zeros(x.dim());
    weights.encoder_norm.forward(&x, &mut hidden);
    check_finite(&hidden)?;
    Ok(EncoderOutput { hidden })
}

/// The rows of `x` in blocks of `size`.
fn blocks(x: &mut ArrayRef2<f32>, size: usize) -> AxisChunksIterMut<'_, f32, Ix2> {
    x.axis_chunks_iter_mut(Axis(0), size)
}
