//! The default model of needle-rs as bytes: the files of a bundle, for `needle-core` to compile in.

#![no_std]
#![forbid(unsafe_code)]

/// `config.json`: sizes and layout of the network.
pub static CONFIG: &[u8] = include_bytes!("../config.json");

/// `model.safetensors`: the weights.
pub static WEIGHTS: &[u8] = include_bytes!("../model.safetensors");

/// `tokenizer.json`.
pub static TOKENIZER: &[u8] = include_bytes!("../tokenizer.json");

/// `calibration.json`: from traces to probabilities.
pub static CALIBRATION: &[u8] = include_bytes!("../calibration.json");
