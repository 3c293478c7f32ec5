//! The decoder: causal self-attention with a cache, cross-attention over encoded pieces, and the logits.

use std::sync::Arc;

use ndarray::{Array2, ArrayRef1, ArrayViewMut1, Axis};

use super::encoder::EncoderOutput;
use super::kv_cache::{FixedKv, KeyValues, KvCache, KvView};
use super::linear::{Linear, project};
use super::network::Network;
use super::scratch::Scratch;
use super::weights::{Weights, check_finite};
use crate::error::{Error, Result};
use crate::kernels::Activations;
use crate::tokenizer::TokenId;

/// What the decoder reads of one encoded sequence: keys and values of every layer's cross-attention, and the
/// keys of the copy head where there is one. Computed once per tool and shared by all queries.
#[derive(Clone, Debug)]
pub struct CrossPiece {
    layers: Vec<FixedKv>,                 // one per decoder layer
    pub(crate) copy_keys: Option<Linear>, // D → T
    len: usize,                           // T
}

impl CrossPiece {
    /// Projects an encoder output (T, D) for every layer of the decoder.
    pub fn new<'a>(network: impl Into<Network<'a>>, output: &EncoderOutput) -> Self {
        let network = network.into();
        let weights = network.weights;
        let hidden = output.hidden();
        let mut layers = vec![None; weights.decoder.len()];
        let work = hidden.len() * weights.config.kv_dim();
        let alone = Network::from(weights);
        network.for_each(work, layers.iter_mut().zip(&weights.decoder), |(fixed, layer)| {
            let attention = &layer.cross_attention;
            let mut kv = KeyValues::zeros(output.len(), weights.config.kv_dim());
            attention.keys_values(alone, &hidden, &mut Activations::default(), kv.view_mut());
            *fixed = Some(kv.fix(alone, attention.heads));
        });
        let copy_keys = weights.copy_head.as_ref().map(|head| head.keys(network, &hidden));
        Self { layers: layers.into_iter().flatten().collect(), copy_keys, len: output.len() }
    }

    /// Number of source tokens, T.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no source token.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// All that the decoder reads of one prompt: pieces in the order of the prompt, shared and never copied.
#[derive(Clone, Debug, Default)]
pub struct CrossKv {
    pieces: Vec<Arc<CrossPiece>>,
}

impl CrossKv {
    /// From pieces in the order of the prompt.
    pub fn new(pieces: Vec<Arc<CrossPiece>>) -> Self {
        Self { pieces }
    }

    /// The pieces in the order of the prompt.
    pub fn pieces(&self) -> &[Arc<CrossPiece>] {
        &self.pieces
    }

    /// Number of source tokens of all pieces.
    pub fn len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.len).sum()
    }

    /// Whether there is no source token.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn layer(&self, index: usize) -> impl Iterator<Item = KvView<'_>> + Clone {
        self.pieces.iter().map(move |piece| piece.layers[index].view())
    }
}

impl FromIterator<Arc<CrossPiece>> for CrossKv {
    fn from_iter<I: IntoIterator<Item = Arc<CrossPiece>>>(pieces: I) -> Self {
        Self::new(pieces.into_iter().collect())
    }
}

/// Keys and values of the tokens decoded so far, and the buffers of a step; used by one thread at a time.
#[derive(Clone, Debug)]
pub struct DecoderState {
    layers: Vec<KvCache>, // one per decoder layer
    scratch: Scratch,
    len: usize,
}

impl DecoderState {
    /// An empty state for these weights.
    pub fn new(weights: &Weights) -> Self {
        let kv_dim = weights.config.kv_dim();
        Self {
            layers: weights.decoder.iter().map(|_| KvCache::new(kv_dim)).collect(),
            scratch: Scratch::new(&weights.config, 1),
            len: 0,
        }
    }

    /// Number of tokens decoded so far: the position of the next one.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was decoded yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Rolls back to the first `len` tokens; a `len` beyond the end changes nothing.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        for cache in &mut self.layers {
            cache.truncate(len);
        }
    }
}

/// Decodes `tokens` after those already in `state`, all in one pass, and returns their final-normed hidden
/// rows (U, D).
///
/// After an error `state` is as it was before.
///
/// # Errors
/// [`Error::Limit`] for a token outside the vocabulary, [`Error::Checkpoint`] if the numbers overflow,
/// [`Error::Internal`] if `cross` or `state` was made for another network.
pub fn forward<'a>(
    network: impl Into<Network<'a>>,
    cross: &CrossKv,
    state: &mut DecoderState,
    tokens: &[TokenId],
) -> Result<Array2<f32>> {
    let network = network.into();
    check_origin(network.weights, cross, state)?;
    let start = state.len;
    let hidden = run(network, cross, state, tokens);
    match hidden {
        Ok(_) => state.len = start + tokens.len(),
        Err(_) => state.truncate(start),
    }
    hidden
}

fn run(
    network: Network<'_>,
    cross: &CrossKv,
    state: &mut DecoderState,
    tokens: &[TokenId],
) -> Result<Array2<f32>> {
    let weights = network.weights;
    let rotation = weights.rope.rotation(state.len, tokens.len());
    let mut buffers = state.scratch.buffers(tokens.len());
    weights.embed(tokens, &mut buffers.x)?;
    for (index, (layer, cache)) in weights.decoder.iter().zip(&mut state.layers).enumerate() {
        let attention = &layer.self_attention;
        layer.self_norm.forward(&buffers.x, &mut buffers.normed);
        attention.add_causal(network, layer.self_gate, &rotation, cache.extend(tokens.len()), &mut buffers);

        let attention = &layer.cross_attention;
        layer.cross_norm.forward(&buffers.x, &mut buffers.normed);
        attention.add_cross(network, layer.cross_gate, &cross.layer(index), &mut buffers);
    }
    let mut hidden = Array2::zeros(buffers.x.dim());
    weights.decoder_norm.forward(&buffers.x, &mut hidden);
    check_finite(&hidden)?;
    Ok(hidden)
}

fn check_origin(weights: &Weights, cross: &CrossKv, state: &DecoderState) -> Result<()> {
    let (layers, kv_dim) = (&weights.decoder, weights.config.kv_dim());
    let state_fits =
        state.layers.len() == layers.len() && state.layers.iter().all(|cache| cache.kv_dim() == kv_dim);
    let cross_fits = cross.pieces.iter().all(|piece| {
        piece.layers.len() == layers.len()
            && piece
                .layers
                .iter()
                .zip(layers)
                .all(|(kv, layer)| kv.fits(layer.cross_attention.heads, weights.is_packed))
    });
    if state_fits && cross_fits {
        return Ok(());
    }
    Err(Error::Internal("a decoder state or cross-attention piece was made by another network".into()))
}

/// Logits of one hidden row (D) over the whole vocabulary: `embedding · hidden`.
pub fn logits<'a>(network: impl Into<Network<'a>>, hidden: &ArrayRef1<f32>) -> Vec<f32> {
    let network = network.into();
    let embedding = &network.weights.embedding;
    let mut logits = vec![0.0; embedding.outputs()];
    let out = ArrayViewMut1::from(&mut logits[..]).insert_axis(Axis(0));
    let hidden = hidden.view().insert_axis(Axis(0));
    project(network, &hidden, &mut Activations::default(), [(embedding, out)]);
    logits
}

/// Logits of one hidden row (D) for `tokens` only, in their order; equal to those entries of [`logits`].
///
/// # Errors
/// [`Error::Limit`] for a token outside the vocabulary.
pub fn logits_for(weights: &Weights, hidden: &ArrayRef1<f32>, tokens: &[TokenId]) -> Result<Vec<f32>> {
    let rows = tokens.iter().map(|&token| weights.check_token(token)).collect::<Result<Vec<_>>>()?;
    Ok(weights.embedding.some(hidden, rows.into_iter()))
}
