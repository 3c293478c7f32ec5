//! The default model, compiled into the library: `models/default` of the repository.

use crate::checkpoint::{Checkpoint, TokenizerFile};
use crate::error::Result;

/// Reads the compiled-in bundle; its weights are not copied.
pub(crate) fn checkpoint() -> Result<Checkpoint> {
    Checkpoint::from_bytes(
        include_bytes!("../../models/default/config.json"),
        include_bytes!("../../models/default/model.safetensors").as_slice(),
        Some(TokenizerFile::from_bytes(include_bytes!("../../models/default/tokenizer.json").as_slice())),
        Some(include_bytes!("../../models/default/calibration.json")),
    )
}
