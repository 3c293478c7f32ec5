//! Writing a bundle directory so that it is either whole or not there.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use ::safetensors::{Dtype, serialize, tensor::TensorView};
use half::{bf16, f16};

use super::bundle::{CALIBRATION, CONFIG, WEIGHTS};
use super::quantize::{self, GROUP, Quantization};
use super::tokenizer_file::TokenizerKind;
use super::{Checkpoint, refuse};
use crate::error::{Error, Result};

/// What [`Checkpoint::save`] does where its directory exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// Refuse.
    #[default]
    Never,
    /// Replace it if it is empty or holds a bundle and nothing else.
    Bundle,
}

impl Checkpoint {
    /// Writes a bundle directory.
    ///
    /// Everything is written to a temporary sibling, which is then renamed: `directory` never holds half a bundle, and
    /// files that a running program has mapped stay as they were.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Checkpoint`] if the directory exists and may not be replaced, if a weight is not finite, or
    /// too large for the chosen storage.
    pub fn save(
        &self,
        directory: impl AsRef<Path>,
        quantization: Quantization,
        overwrite: Overwrite,
    ) -> Result<()> {
        let directory = directory.as_ref();
        check_target(directory, overwrite)?;
        let weights = self.weights(quantization)?;
        let temporary = Temporary::beside(directory, "new")?;
        let json = |value: &serde_json::Value| format!("{value:#}\n").into_bytes();
        let config = serde_json::to_value(&self.config)
            .map_err(|error| Error::Internal(format!("config as JSON: {error}")))?;
        temporary.write(CONFIG, &json(&config))?;
        temporary.write(WEIGHTS, &weights)?;
        if let Some(tokenizer) = &self.tokenizer {
            temporary.write(tokenizer.kind.file_name(), &tokenizer.bytes)?;
        }
        if let Some(calibration) = &self.calibration {
            temporary.write(CALIBRATION, &json(calibration))?;
        }
        temporary.replace(directory)
    }

    /// All tensors as a safetensors file.
    fn weights(&self, quantization: Quantization) -> Result<Vec<u8>> {
        let mut entries: Vec<Entry> = Vec::new();
        for (name, tensor) in &self.tensors {
            let values = self.read(name, tensor)?;
            let too_large = || {
                let problem =
                    format!("tensor {name} holds a value too large for {quantization:?}; store it as f32");
                refuse(&self.origin, problem)
            };
            encode(name, &tensor.shape, &values, quantization, &mut entries).ok_or_else(too_large)?;
        }
        let views = entries
            .iter()
            .map(|entry| Ok((&entry.name, TensorView::new(entry.dtype, entry.shape.clone(), &entry.bytes)?)))
            .collect::<Result<Vec<_>, ::safetensors::SafeTensorError>>();
        views
            .and_then(|views| serialize(views, None))
            .map_err(|error| Error::Internal(format!("writing safetensors: {error}")))
    }
}

/// One entry of the file to be written.
struct Entry {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// Appends the entries of one tensor; `None` if a value overflows the storage type.
fn encode(
    name: &str,
    shape: &[usize],
    values: &[f32],
    quantization: Quantization,
    entries: &mut Vec<Entry>,
) -> Option<()> {
    let mut push = |name: String, dtype, shape: &[usize], bytes| {
        entries.push(Entry { name, dtype, shape: shape.to_vec(), bytes });
    };
    let quantised = |rows: usize, width: usize| (vec![rows, width], vec![rows, shape[1] / GROUP]);
    match (quantization, shape) {
        (Quantization::F16, [_, _]) => {
            push(
                name.into(),
                Dtype::F16,
                shape,
                half_bytes(values.iter().map(|value| f16::from_f32(*value)))?,
            );
        }
        (Quantization::Bf16, [_, _]) => {
            let bytes = values.iter().map(|value| bf16::from_f32(*value));
            let finite = bytes.clone().all(bf16::is_finite);
            push(
                name.into(),
                Dtype::BF16,
                shape,
                finite.then(|| bytes.flat_map(bf16::to_le_bytes).collect())?,
            );
        }
        (Quantization::Int8, [rows, columns]) if columns.is_multiple_of(GROUP) => {
            let (matrix, scales) = quantised(*rows, *columns);
            let quantized = quantize::int8(values);
            push(name.into(), Dtype::I8, &matrix, quantized.values);
            push(format!("{name}.scale"), Dtype::F16, &scales, half_bytes(quantized.scales.into_iter())?);
        }
        (Quantization::Int4, [rows, columns]) if columns.is_multiple_of(GROUP) => {
            let (matrix, scales) = quantised(*rows, columns / 2);
            let quantized = quantize::int4(values);
            push(format!("{name}.q4"), Dtype::U8, &matrix, quantized.values);
            push(format!("{name}.scale"), Dtype::F16, &scales, half_bytes(quantized.scales.into_iter())?);
        }
        _ => push(
            name.into(),
            Dtype::F32,
            shape,
            values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ),
    }
    Some(())
}

/// Little-endian bytes, if every value is finite.
fn half_bytes(values: impl Iterator<Item = f16> + Clone) -> Option<Vec<u8>> {
    values.clone().all(f16::is_finite).then(|| values.flat_map(f16::to_le_bytes).collect())
}

/// Refuses a target that exists, unless it may be replaced without losing anything but a bundle.
fn check_target(directory: &Path, overwrite: Overwrite) -> Result<()> {
    let origin = directory.display().to_string();
    let kind = match fs::symlink_metadata(directory) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io(directory, error)),
    };
    if !kind.is_dir() {
        return Err(refuse(&origin, "exists and is not a directory; choose another place"));
    }
    if overwrite == Overwrite::Never {
        return Err(refuse(&origin, "exists; choose another directory or ask for it to be replaced"));
    }
    let known = [
        CONFIG,
        WEIGHTS,
        CALIBRATION,
        TokenizerKind::Json.file_name(),
        TokenizerKind::SentencePiece.file_name(),
    ];
    for entry in fs::read_dir(directory).map_err(|source| Error::io(directory, source))? {
        let name = entry.map_err(|source| Error::io(directory, source))?.file_name();
        if !known.iter().any(|known| name == *known) {
            let problem =
                format!("holds {}, which is no part of a bundle, and is not replaced", name.display());
            return Err(refuse(&origin, problem));
        }
    }
    Ok(())
}

/// A directory that disappears unless it is renamed.
struct Temporary(PathBuf);

impl Temporary {
    /// Creates `.NAME.TAG-PID` beside `directory`, so that renaming stays within one file system.
    fn beside(directory: &Path, tag: &str) -> Result<Self> {
        let path = sibling(directory, tag)?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|source| Error::io(parent, source))?;
        }
        fs::create_dir(&path).map_err(|source| Error::io(&path, source))?;
        Ok(Self(path))
    }

    /// Writes one file down to the disk.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.0.join(name);
        let io = |source| Error::io(&path, source);
        let mut file = File::create_new(&path).map_err(io)?;
        file.write_all(bytes).map_err(io)?;
        file.sync_all().map_err(io)
    }

    /// Moves this directory to `target`; what stood there is put back if that fails, and removed if it succeeds.
    fn replace(self, target: &Path) -> Result<()> {
        let io = |source| Error::io(target, source);
        if !target.exists() {
            return fs::rename(&self.0, target).map_err(io);
        }
        let old = sibling(target, "old")?;
        fs::rename(target, &old).map_err(io)?;
        if let Err(error) = fs::rename(&self.0, target) {
            // The first error is the one to report; the old bundle is beside the target if this fails too.
            let _ = fs::rename(&old, target);
            return Err(io(error));
        }
        fs::remove_dir_all(&old).map_err(|source| Error::io(&old, source))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a successful rename there is nothing here; after an error the first error is what matters.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn sibling(directory: &Path, tag: &str) -> Result<PathBuf> {
    let origin = directory.display().to_string();
    let name = directory
        .file_name()
        .ok_or_else(|| refuse(&origin, "has no name of its own; name a new directory"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{tag}-{}", std::process::id()));
    Ok(directory.with_file_name(hidden))
}
