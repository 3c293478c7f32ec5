//! The encoder: bidirectional attention over one sequence, or over a query and the segments of its tools.
//!
//! Sequences are given at their own length; there is no padding and so no padding mask.

use std::iter::once;

use ndarray::{Array2, ArrayView2};

use super::attention::Visible;
use super::kv_cache::{FixedKv, KeyValues};
use super::network::Network;
use super::scratch::Scratch;
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

/// A sequence encoded by itself, with all that a later query needs to attend to it.
#[derive(Clone, Debug)]
pub struct SegmentEncoding {
    layers: Vec<FixedKv>, // one per encoder layer, keys at positions from 0
    output: EncoderOutput,
}

impl SegmentEncoding {
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
    Ok(SegmentEncoding { layers, output })
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
    segments: &[&SegmentEncoding],
) -> Result<EncoderOutput> {
    let network = network.into();
    let layers = &network.weights.encoder;
    let fits = |segment: &&SegmentEncoding| {
        segment.layers.len() == layers.len()
            && segment.layers.iter().zip(layers).all(|(kv, layer)| kv.fits(layer.attention.heads))
    };
    if !segments.iter().all(fits) {
        return Err(Error::Internal("a segment was encoded by another network".into()));
    }
    run(network, tokens, segments, &mut |_| ())
}

/// Encodes `tokens` over themselves and `segments`; hands the own keys and values of each layer to `keep`.
fn run(
    network: Network<'_>,
    tokens: &[TokenId],
    segments: &[&SegmentEncoding],
    keep: &mut dyn FnMut(FixedKv),
) -> Result<EncoderOutput> {
    let weights = network.weights;
    let rotation = weights.rope.rotation(0, tokens.len());
    let mut scratch = Scratch::new(&weights.config, tokens.len());
    let mut buffers = scratch.buffers(tokens.len());
    weights.embed(tokens, &mut buffers.x)?;
    for (index, layer) in weights.encoder.iter().enumerate() {
        let attention = &layer.attention;
        let mut own = KeyValues::zeros(tokens.len(), weights.config.kv_dim());
        layer.norm.forward(&buffers.x, &mut buffers.normed);
        attention.all(network, &rotation, &mut buffers, own.view_mut());
        let own = own.fix(attention.heads, weights.is_packed);
        let pieces = segments.iter().map(|segment| segment.layers[index].view()).chain(once(own.view()));
        attention.add_gated(network, layer.gate, &pieces, Visible::All, &mut buffers);
        keep(own);
    }
    let mut hidden = Array2::zeros(buffers.x.dim());
    weights.encoder_norm.forward(&buffers.x, &mut hidden);
    check_finite(&hidden)?;
    Ok(EncoderOutput { hidden })
}
