//! Bundles: `config.json`, `model.safetensors`, a tokenizer and an optional `calibration.json`, as a directory or as
//! one `.safetensors` file that carries the other three as metadata strings.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::buffer::Buffer;
use super::config::ModelConfig;
use super::tokenizer_file::{TokenizerFile, TokenizerKind};
use super::{Checkpoint, names, refuse, safetensors};
use crate::error::{Error, Result};

pub(super) const CONFIG: &str = "config.json";
pub(super) const WEIGHTS: &str = "model.safetensors";
pub(super) const CALIBRATION: &str = "calibration.json";

/// Largest `config.json` or `calibration.json`, in bytes.
const JSON_LIMIT: u64 = 4 << 20;

/// Reads a bundle directory.
pub(super) fn open_directory(path: &Path) -> Result<Checkpoint> {
    let origin = path.display().to_string();
    for name in [CONFIG, WEIGHTS] {
        if !path.join(name).is_file() {
            return Err(refuse(
                &origin,
                format!("has no {name}; a bundle directory holds {CONFIG} and {WEIGHTS}"),
            ));
        }
    }
    let config = parse_config(&origin, &read_file(&path.join(CONFIG), JSON_LIMIT)?)?;
    let tokenizers =
        [TokenizerKind::Json, TokenizerKind::SentencePiece].map(|kind| path.join(kind.file_name()));
    let tokenizer = match tokenizers.each_ref().map(|file| file.is_file()) {
        [true, true] => {
            return Err(refuse(&origin, "holds tokenizer.json and tokenizer.model; keep one of them"));
        }
        [true, false] => Some(TokenizerFile::load(&tokenizers[0])?),
        [false, true] => Some(TokenizerFile::load(&tokenizers[1])?),
        [false, false] => None,
    };
    let calibration = path.join(CALIBRATION);
    let calibration = if calibration.is_file() {
        Some(parse_calibration(&origin, &read_file(&calibration, JSON_LIMIT)?)?)
    } else {
        None
    };
    let weights = path.join(WEIGHTS);
    let buffer = Buffer::map(&weights)?;
    let checkpoint = assemble(weights.display().to_string(), config, buffer)?;
    Ok(Checkpoint { tokenizer, calibration, ..checkpoint })
}

/// Reads a single-file bundle.
pub(super) fn open_file(origin: String, buffer: Buffer) -> Result<Checkpoint> {
    let contents = safetensors::read(&buffer).map_err(|problem| refuse(&origin, problem))?;
    let text = |key: &str| contents.metadata.get(key).map(String::as_str);
    let Some(config) = text("config") else {
        return Err(refuse(
            &origin,
            format!(
                "is a safetensors file without \"config\" in its metadata; if {CONFIG} lies beside it, open the directory"
            ),
        ));
    };
    let config = parse_config(&origin, config.as_bytes())?;
    let tokenizer = embedded_tokenizer(&contents.metadata).map_err(|problem| refuse(&origin, problem))?;
    let calibration =
        text("calibration").map(|text| parse_calibration(&origin, text.as_bytes())).transpose()?;
    names::check(&config, &contents.tensors).map_err(|problem| refuse(&origin, problem))?;
    Ok(Checkpoint { config, tokenizer, calibration, origin, buffer, tensors: contents.tensors })
}

/// A checkpoint without tokenizer and calibration from weights and their config.
pub(super) fn assemble(origin: String, config: ModelConfig, buffer: Buffer) -> Result<Checkpoint> {
    let contents = safetensors::read(&buffer).map_err(|problem| refuse(&origin, problem))?;
    names::check(&config, &contents.tensors).map_err(|problem| refuse(&origin, problem))?;
    Ok(Checkpoint { config, tokenizer: None, calibration: None, origin, buffer, tensors: contents.tensors })
}

/// JSON text stays as it is; a SentencePiece model is base64.
fn embedded_tokenizer(metadata: &HashMap<String, String>) -> Result<Option<TokenizerFile>, String> {
    let Some(text) = metadata.get("tokenizer") else { return Ok(None) };
    if text.trim_start().starts_with('{') {
        return Ok(Some(TokenizerFile::from_bytes(text.clone().into_bytes())));
    }
    let bytes = STANDARD
        .decode(text.trim_ascii())
        .map_err(|error| format!("metadata \"tokenizer\" is neither JSON nor base64: {error}"))?;
    Ok(Some(TokenizerFile::from_bytes(bytes)))
}

/// Parses and validates a config.
pub(super) fn parse_config(origin: &str, json: &[u8]) -> Result<ModelConfig> {
    let config: ModelConfig = serde_json::from_slice(json)
        .map_err(|error| refuse(origin, format!("has a wrong config: {error}")))?;
    config.validate()?;
    Ok(config)
}

/// Parses a calibration without looking into it; the calibration module does.
pub(super) fn parse_calibration(origin: &str, json: &[u8]) -> Result<serde_json::Value> {
    serde_json::from_slice(json)
        .map_err(|error| refuse(origin, format!("has a damaged calibration: {error}")))
}

/// Reads a whole file, but not one larger than `limit` bytes.
pub(super) fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let io = |source| Error::io(path, source);
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(limit + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > limit {
        return Err(refuse(
            &path.display().to_string(),
            format!("is larger than {limit} bytes, the limit for this file"),
        ));
    }
    Ok(bytes)
}
