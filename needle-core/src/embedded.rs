//! The default model, compiled into the library: the crate `needle-model-default`.

use needle_model_default::{CALIBRATION, CONFIG, TOKENIZER, WEIGHTS};

use crate::checkpoint::{Checkpoint, TokenizerFile};
use crate::error::Result;

/// Reads the compiled-in bundle; its weights are not copied.
pub(crate) fn checkpoint() -> Result<Checkpoint> {
    Checkpoint::from_bytes(CONFIG, WEIGHTS, Some(TokenizerFile::from_bytes(TOKENIZER)), Some(CALIBRATION))
}
