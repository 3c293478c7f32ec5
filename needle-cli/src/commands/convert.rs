//! `needle convert`: any checkpoint to a bundle directory.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use needle_core::Model;
use needle_core::checkpoint::{Checkpoint, Overwrite, Quantization, TokenizerFile};

use crate::Outcome;

/// Turn a checkpoint and its tokenizer into a bundle that every command and binding opens.
#[derive(Args)]
#[command(after_help = "Example, for the published weights:
  needle convert --checkpoint needle.pkl --tokenizer needle.model --out needle-v1 --quantize int8")]
pub(crate) struct Convert {
    /// The published `.pkl`, a bundle directory or a single-file bundle
    #[arg(long, value_name = "FILE")]
    checkpoint: PathBuf,
    /// SentencePiece `.model` or `tokenizer.json`; by default the checkpoint's own
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
}

/// The bundle to write, the same for every command that makes one.
#[derive(Args)]
pub(crate) struct Target {
    /// The directory to write
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// How matrices are stored
    #[arg(long, value_enum, default_value_t = Storage::F16)]
    quantize: Storage,
    /// Replace --out if it holds a bundle
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Storage {
    F32,
    F16,
    Bf16,
    Int8,
    Int4,
}

impl Convert {
    pub(crate) fn run(&self) -> Outcome {
        self.target.write(&self.checkpoint, self.tokenizer.as_deref())
    }
}

impl Target {
    /// Writes a checkpoint as a bundle, and prints where.
    pub(crate) fn write(&self, checkpoint: &Path, tokenizer: Option<&Path>) -> Outcome {
        let mut checkpoint = Checkpoint::open(checkpoint)?;
        if let Some(path) = tokenizer {
            checkpoint.tokenizer = Some(TokenizerFile::load(path)?);
        }
        // Building the model finds a tokenizer that is missing or belongs to other weights.
        Model::from_checkpoint(&checkpoint)?;
        let quantization = match self.quantize {
            Storage::F32 => Quantization::F32,
            Storage::F16 => Quantization::F16,
            Storage::Bf16 => Quantization::Bf16,
            Storage::Int8 => Quantization::Int8,
            Storage::Int4 => Quantization::Int4,
        };
        let overwrite = if self.force { Overwrite::Bundle } else { Overwrite::Never };
        checkpoint.save(&self.out, quantization, overwrite)?;
        writeln!(std::io::stdout(), "{}", self.out.display())?;
        Ok(())
    }
}
