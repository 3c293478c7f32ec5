//! Which model a command runs.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use needle_core::Model;
use needle_core::checkpoint::Checkpoint;

use crate::Outcome;

/// The model's option, the same for every command.
#[derive(Args)]
pub(crate) struct ModelOption {
    /// Bundle directory or single-file bundle; by default the model that is compiled in
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
}

impl ModelOption {
    pub(crate) fn load(&self) -> Outcome<Arc<Model>> {
        match &self.model {
            Some(path) => Ok(Model::open(path)?),
            None => embedded(),
        }
    }

    /// The model without its calibration, which may be of another version: a new one is to be made.
    pub(crate) fn load_uncalibrated(&self) -> Outcome<Arc<Model>> {
        match &self.model {
            Some(path) => {
                let mut checkpoint = Checkpoint::open(path)?;
                checkpoint.calibration = None;
                Ok(Model::from_checkpoint(&checkpoint)?)
            }
            None => Ok(embedded()?.with_calibration(None)),
        }
    }
}

#[cfg(feature = "embedded-model")]
fn embedded() -> Outcome<Arc<Model>> {
    Ok(Model::embedded()?)
}

#[cfg(not(feature = "embedded-model"))]
fn embedded() -> Outcome<Arc<Model>> {
    Err("this build has no model compiled in; give one with --model".into())
}
