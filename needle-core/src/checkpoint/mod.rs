//! Model files: reading, writing and quantising.
//!
//! [`Checkpoint::open`] reads the published pickle, a bundle directory or a single-file bundle, told apart by their
//! content. Whatever the file, tensors have this project's names (`encoder.layers.0.self_attn.q_proj.weight`, …),
//! matrices are (out, in), and [`Checkpoint::take`] gives f32.

use std::borrow::Cow;
use std::path::Path;

use indexmap::IndexMap;

use crate::error::{Error, Result};
use crate::nn::weights::QuantisedMatrix;

mod buffer;
mod bundle;
pub mod config;
mod names;
mod pickle;
mod published;
mod quantize;
mod safetensors;
mod tensor;
mod tokenizer_file;
mod write;

use buffer::Buffer;
pub use config::{Layout, ModelConfig, StaticEmbeddingConfig};
pub use quantize::{GROUP, Quantization};
use tensor::Tensor;
pub use tokenizer_file::{TokenizerFile, TokenizerKind};
pub use write::Overwrite;

/// An opened model file. Names and shapes are checked against the config on opening; values are read by
/// [`Checkpoint::take`].
#[derive(Debug)]
pub struct Checkpoint {
    /// Sizes and options of the network.
    pub config: ModelConfig,
    /// The tokenizer's file, where the bundle has one or one lies beside the pickle.
    pub tokenizer: Option<TokenizerFile>,
    /// `calibration.json` as it stands.
    pub calibration: Option<serde_json::Value>,
    /// The file, for messages.
    origin: String,
    buffer: Buffer,
    tensors: IndexMap<String, Tensor>,
}

impl Checkpoint {
    /// Opens a bundle directory, a single-file `.safetensors` bundle or the published `.pkl`.
    ///
    /// A pickle holds no tokenizer; a `tokenizer.model` in the same directory becomes its tokenizer.
    /// Files are mapped into memory and must not be changed in place while the checkpoint is open.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Config`] for impossible sizes and [`Error::Checkpoint`] for
    /// everything else: an unknown, damaged or hostile file, tensors that are missing, not known, or of a wrong shape.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if path.is_dir() {
            return bundle::open_directory(path);
        }
        let origin = path.display().to_string();
        let buffer = Buffer::map(path)?;
        // Safetensors first: the length it starts with may happen to look like a pickle's first bytes, but a pickle's
        // never looks like a header that fits the file and opens a brace.
        if safetensors::sniff(&buffer) {
            return bundle::open_file(origin, buffer);
        }
        if pickle::sniff(&buffer) {
            let (config, tensors) = published::read(&origin, &buffer)?;
            let beside = path.with_file_name(TokenizerKind::SentencePiece.file_name());
            let tokenizer = if beside.is_file() { Some(TokenizerFile::load(&beside)?) } else { None };
            return Ok(Self { config, tokenizer, calibration: None, origin, buffer, tensors });
        }
        let problem = if buffer.is_empty() {
            "is empty"
        } else if buffer.starts_with(b"version https://git-lfs") {
            "is a Git LFS pointer, not the model itself; fetch the file with `git lfs pull` or download it"
        } else {
            "is no model: expected a bundle directory, a .safetensors bundle or a pickle of protocol 2 to 5"
        };
        Err(refuse(&origin, problem))
    }

    /// Opens a bundle that is already in memory, such as one compiled into the program; `'static` weights are not copied.
    ///
    /// The arguments are the contents of `config.json`, `model.safetensors`, the tokenizer and `calibration.json`.
    ///
    /// # Errors
    /// As [`Checkpoint::open`], without I/O.
    pub fn from_bytes(
        config: &[u8],
        weights: impl Into<Cow<'static, [u8]>>,
        tokenizer: Option<TokenizerFile>,
        calibration: Option<&[u8]>,
    ) -> Result<Self> {
        let origin = "buffer";
        let config = bundle::parse_config(origin, config)?;
        let calibration = calibration.map(|json| bundle::parse_calibration(origin, json)).transpose()?;
        let checkpoint = bundle::assemble(origin.into(), config, Buffer::Memory(weights.into()))?;
        Ok(Self { tokenizer, calibration, ..checkpoint })
    }

    /// Opens a single-file bundle that is already in memory; `'static` weights are not copied.
    ///
    /// # Errors
    /// As [`Checkpoint::open`], without I/O.
    pub fn from_bundle_bytes(bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self> {
        bundle::open_file("buffer".into(), Buffer::Memory(bytes.into()))
    }

    /// Names and shapes of all tensors.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice()))
    }

    /// The values of one tensor as f32, row-major, dequantised.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] names the tensor if there is none of that name, if its shape is not `shape`, or if a value is
    /// not finite.
    pub fn take(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.read(name, self.find(name, shape)?)
    }

    /// The stored values of one matrix, if it is quantised.
    ///
    /// # Errors
    /// As [`Checkpoint::take`].
    pub fn take_quantised(&self, name: &str, shape: &[usize]) -> Result<Option<QuantisedMatrix<'_>>> {
        let tensor = self.find(name, shape)?;
        tensor
            .quantised(&self.buffer)
            .map_err(|problem| refuse(&self.origin, format!("tensor {name} {problem}")))
    }

    fn find(&self, name: &str, shape: &[usize]) -> Result<&Tensor> {
        let tensor =
            self.tensors.get(name).ok_or_else(|| refuse(&self.origin, format!("has no tensor {name}")))?;
        if tensor.shape == shape {
            return Ok(tensor);
        }
        let problem = format!("tensor {name} has shape {:?}, expected {shape:?}", tensor.shape);
        Err(refuse(&self.origin, problem))
    }

    fn read(&self, name: &str, tensor: &Tensor) -> Result<Vec<f32>> {
        tensor.read(&self.buffer).map_err(|problem| refuse(&self.origin, format!("tensor {name} {problem}")))
    }
}

/// The error for a file that is not what it should be.
fn refuse(origin: &str, problem: impl Into<String>) -> Error {
    Error::Checkpoint { origin: origin.into(), problem: problem.into() }
}
