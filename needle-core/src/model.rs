//! A model: sizes, weights, tokenizer and calibration, read once and shared.

use std::path::Path;
use std::sync::Arc;

use crate::TokenId;
use crate::calibration::Calibration;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::config::ModelConfig;
use crate::error::{Error, Result};
use crate::grammar::Vocabulary;
use crate::nn::weights::{QuantisedMatrix, Source, Weights};
use crate::tokenizer::Tokenizer;

/// All that a checkpoint holds, ready to run; immutable, so that threads share it without locks.
#[derive(Clone)]
pub struct Model {
    weights: Arc<Weights>,
    tokenizer: Arc<Tokenizer>,
    vocabulary: Vocabulary,
    calibration: Option<Calibration>,
    longest_token: usize,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("config", self.config()).finish_non_exhaustive()
    }
}

impl Model {
    /// Loads a checkpoint: a bundle directory, a bundle in one `.safetensors` file, or the published `.pkl`
    /// (which needs its tokenizer: convert it to a bundle first).
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`] and [`Self::from_checkpoint`].
    pub fn open(path: impl AsRef<Path>) -> Result<Arc<Self>> {
        Self::from_checkpoint(&Checkpoint::open(path)?)
    }

    /// The model that is compiled into this library.
    ///
    /// # Errors
    /// Those of [`Self::from_checkpoint`].
    #[cfg(feature = "embedded-model")]
    pub fn embedded() -> Result<Arc<Self>> {
        Self::from_checkpoint(&crate::embedded::checkpoint()?)
    }

    /// Builds a model from what was read of a checkpoint.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a missing or misshapen tensor, a missing tokenizer or a wrong calibration;
    /// [`Error::Config`] for impossible sizes; [`Error::Tokenizer`] for a tokenizer that is damaged or has
    /// more tokens than the embedding has rows.
    pub fn from_checkpoint(checkpoint: &Checkpoint) -> Result<Arc<Self>> {
        let file = checkpoint.tokenizer.as_ref().ok_or_else(|| Error::Checkpoint {
            origin: "model".into(),
            problem:
                "has no tokenizer; put tokenizer.json or tokenizer.model beside the weights, or convert \
                      the checkpoint together with its tokenizer"
                    .into(),
        })?;
        let tokenizer = Tokenizer::from_file(file)?;
        let calibration = checkpoint.calibration.as_ref().map(Calibration::from_json).transpose()?;
        let weights = Weights::load(&checkpoint.config, &mut Tensors(checkpoint))?;
        Self::from_parts(weights, tokenizer, calibration)
    }

    /// Joins weights and a tokenizer that belong together.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the tokenizer has more tokens than the embedding has rows.
    pub fn from_parts(
        weights: Weights,
        tokenizer: impl Into<Arc<Tokenizer>>,
        calibration: Option<Calibration>,
    ) -> Result<Arc<Self>> {
        let tokenizer = tokenizer.into();
        let (tokens, rows) = (tokenizer.vocab_size(), weights.config().vocab_size);
        let wrong = |problem| Error::Tokenizer { origin: "of the model".into(), problem };
        if tokens > rows {
            return Err(wrong(format!(
                "has {tokens} tokens, the weights know {rows}; use the tokenizer they were trained with"
            )));
        }
        let count = u32::try_from(tokens).map_err(|_| wrong(format!("has {tokens} tokens, too many")))?;
        let lengths = (0..count).map(|id| tokenizer.token_bytes(TokenId(id)).len());
        let longest_token = lengths.max().unwrap_or(0);
        let vocabulary = Vocabulary::new(&tokenizer)?;
        Ok(Arc::new(Self { weights: Arc::new(weights), tokenizer, vocabulary, calibration, longest_token }))
    }

    /// Other weights, without calibration, with this model's tokenizer.
    ///
    /// # Errors
    /// Those of [`Self::from_parts`].
    pub fn with_weights(&self, weights: Weights) -> Result<Arc<Self>> {
        Self::from_parts(weights, Arc::clone(&self.tokenizer), None)
    }

    /// The same model with another calibration; weights are shared.
    #[must_use]
    pub fn with_calibration(&self, calibration: Option<Calibration>) -> Arc<Self> {
        Arc::new(Self { calibration, ..self.clone() })
    }

    /// Sizes and options of the network.
    pub fn config(&self) -> &ModelConfig {
        self.weights.config()
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// What turns a trace into a confidence; without it decisions have none.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }

    /// The tokens as the grammar sees them.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The weights.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Bytes of text beyond which more than `tokens` tokens are certain.
    pub(crate) fn most_bytes(&self, tokens: usize) -> usize {
        tokens.saturating_mul(self.longest_token.max(1))
    }
}

/// A checkpoint as the source of the network's tensors.
struct Tensors<'a>(&'a Checkpoint);

impl Source for Tensors<'_> {
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.0.take(name, shape)
    }

    fn take_quantised(&mut self, name: &str, shape: [usize; 2]) -> Result<Option<QuantisedMatrix<'_>>> {
        self.0.take_quantised(name, &shape)
    }
}
