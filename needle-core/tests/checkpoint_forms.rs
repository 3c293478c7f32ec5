//! From a model file to the network's numbers, and the forms a bundle comes in: published pickle, directory, single
//! file, memory, and the trainer's own int8 file.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use half::f16;
use needle_core::TokenId;
use needle_core::checkpoint::{Checkpoint, Overwrite, Quantization, TokenizerFile, TokenizerKind};
use needle_core::nn::decoder::{self, CrossKv, CrossPiece, DecoderState};
use needle_core::nn::encoder;
use needle_core::nn::weights::{Source, Weights};
use safetensors::{Dtype, SafeTensors};

fn project(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn tiny() -> Checkpoint {
    Checkpoint::open(project("tests/golden/tiny.pkl")).unwrap()
}

/// A directory of its own for a test, removed when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("needle-forms-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Tensors<'a>(&'a Checkpoint);

impl Source for Tensors<'_> {
    fn take(&mut self, name: &str, shape: &[usize]) -> needle_core::Result<Vec<f32>> {
        self.0.take(name, shape)
    }
}

/// The largest difference of encoder output and logits from the reference's over all cases.
fn distance(checkpoint: &Checkpoint) -> f32 {
    let file = std::fs::read(project("tests/golden/tiny.expected.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&file).unwrap();
    let words = |name: String| golden.tensor(&name).unwrap().data().as_chunks::<4>().0.to_vec();
    let tokens =
        |name| words(name).into_iter().map(|word| TokenId(u32::from_le_bytes(word))).collect::<Vec<_>>();
    let floats = |name| words(name).into_iter().map(f32::from_le_bytes).collect::<Vec<_>>();
    let weights = Weights::load(&checkpoint.config, &mut Tensors(checkpoint)).unwrap();
    let mut worst = 0.0_f32;
    let mut compare = |found: &[f32], expected: &[f32]| {
        assert_eq!(found.len(), expected.len());
        worst = found.iter().zip(expected).fold(worst, |worst, (a, b)| worst.max((a - b).abs()));
    };
    for case in 0..4 {
        let output = encoder::encode(&weights, &tokens(format!("case{case}.src"))).unwrap();
        let hidden: Vec<f32> = output.hidden().iter().copied().collect();
        compare(&hidden, &floats(format!("case{case}.encoder_out")));
        let cross = CrossKv::new(vec![CrossPiece::new(&weights, &output).into()]);
        let mut state = DecoderState::new(&weights);
        let hidden =
            decoder::forward(&weights, &cross, &mut state, &tokens(format!("case{case}.tgt"))).unwrap();
        let logits: Vec<f32> = hidden.outer_iter().flat_map(|row| decoder::logits(&weights, &row)).collect();
        compare(&logits, &floats(format!("case{case}.logits")));
    }
    worst
}

#[test]
fn the_published_file_gives_the_reference_numbers() {
    let distance = distance(&tiny());
    assert!(distance < 1e-4, "differs by {distance}");
}

#[test]
fn a_converted_file_gives_the_reference_numbers() {
    let scratch = Scratch::new("converted");
    for quantization in [Quantization::F32, Quantization::F16] {
        let directory = scratch.0.join(format!("{quantization:?}"));
        tiny().save(&directory, quantization, Overwrite::Never).unwrap();
        let distance = distance(&Checkpoint::open(&directory).unwrap());
        assert!(distance < 1e-4, "{quantization:?}: differs by {distance}");
    }
    let left: Vec<_> =
        std::fs::read_dir(&scratch.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "saving leaves nothing but the bundle: {left:?}");
}

#[test]
fn a_tokenizer_beside_the_pickle_is_found() {
    let scratch = Scratch::new("beside");
    let pickle = scratch.0.join("needle.pkl");
    std::fs::copy(project("tests/golden/tiny.pkl"), &pickle).unwrap();
    assert_eq!(Checkpoint::open(&pickle).unwrap().tokenizer, None);
    std::fs::copy(project("tests/golden/sp.model"), scratch.0.join("tokenizer.model")).unwrap();
    let tokenizer = Checkpoint::open(&pickle).unwrap().tokenizer.unwrap();
    assert_eq!(tokenizer.kind, TokenizerKind::SentencePiece);
    assert_eq!(*tokenizer.bytes, *std::fs::read(project("tests/golden/sp.model")).unwrap());
}

#[test]
fn a_pickle_that_does_not_fit_its_config_is_refused() {
    let file = std::fs::read(project("tests/golden/pickles/f16_C_protocol4.pkl")).unwrap();
    let scratch = Scratch::new("unfit");
    let path = scratch.0.join("file.pkl");
    for (old, new, expected) in [
        (
            &b"vocab_size\x94K\x08"[..],
            &b"vocab_size\x94K\x09"[..],
            "embedding/embedding of shape [8, 8], the config says [9, 8]",
        ),
        (b"no_feedforward\x94\x88", b"no_feedforward\x94\x89", "feed-forward layers"),
        (b"log_temp", b"log_tomp", "array log_tomp, which this network does not have"),
        (b"ZCRMSNorm_1", b"ZCRMSNorm_7", "lacks decoder/layers/DecoderBlock_0/ZCRMSNorm_1/scale"),
    ] {
        let mut changed = file.clone();
        let at = file.windows(old.len()).position(|window| window == old).unwrap();
        changed[at..at + old.len()].copy_from_slice(new);
        std::fs::write(&path, changed).unwrap();
        let message = Checkpoint::open(&path).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn one_bundle_is_the_same_as_directory_single_file_and_memory() {
    let scratch = Scratch::new("single");
    let directory = scratch.0.join("bundle");
    let mut checkpoint = tiny();
    checkpoint.tokenizer = Some(TokenizerFile::from_bytes(br#"{"version": "1.0"}"#.as_slice()));
    checkpoint.calibration = Some(serde_json::json!({"temperature": 1.5}));
    checkpoint.save(&directory, Quantization::Int4, Overwrite::Never).unwrap();
    let read = |name: &str| std::fs::read(directory.join(name)).unwrap();
    let text = |name: &str| String::from_utf8(read(name)).unwrap();

    let weights = read("model.safetensors");
    let metadata = HashMap::from([
        ("config".to_owned(), text("config.json")),
        ("tokenizer".to_owned(), text("tokenizer.json")),
        ("calibration".to_owned(), text("calibration.json")),
    ]);
    let tensors = SafeTensors::deserialize(&weights).unwrap().tensors();
    let single = scratch.0.join("bundle.safetensors");
    std::fs::write(&single, safetensors::serialize(tensors, Some(metadata)).unwrap()).unwrap();

    let forms = [
        Checkpoint::open(&directory).unwrap(),
        Checkpoint::open(&single).unwrap(),
        Checkpoint::from_bytes(
            &read("config.json"),
            weights.clone(),
            Some(TokenizerFile::from_bytes(read("tokenizer.json"))),
            Some(&read("calibration.json")),
        )
        .unwrap(),
    ];
    for form in &forms {
        assert_eq!((&form.config, &form.calibration), (&checkpoint.config, &checkpoint.calibration));
        assert_eq!(form.tokenizer, checkpoint.tokenizer);
        for (name, shape) in checkpoint.tensors() {
            assert_eq!(form.take(name, shape).unwrap(), forms[0].take(name, shape).unwrap(), "{name}");
        }
    }
    let wrong = forms[0].take("embedding.weight", &[2, 2]).unwrap_err().to_string();
    assert!(wrong.contains("embedding.weight has shape [512, 64], expected [2, 2]"), "{wrong}");
    let absent = forms[0].take("embedding", &[2, 2]).unwrap_err().to_string();
    assert!(absent.contains("has no tensor embedding"), "{absent}");
}

/// The default model was written by the trainer: int8 matrices with f16 scales, a gate of one row that stays f32.
#[test]
fn the_trainers_file_is_read_as_it_was_meant() {
    let checkpoint = Checkpoint::open(project("models/default")).unwrap();
    let file = std::fs::read(project("models/default/model.safetensors")).unwrap();
    let stored = SafeTensors::deserialize(&file).unwrap();
    let mut quantised = 0;
    for (name, shape) in checkpoint.tensors() {
        let tensor = stored.tensor(name).unwrap();
        let found = checkpoint.take(name, shape).unwrap();
        let expected: Vec<f32> = if tensor.dtype() == Dtype::I8 {
            quantised += 1;
            let scales = stored.tensor(&format!("{name}.scale")).unwrap().data();
            let scale =
                |index: usize| f16::from_le_bytes([scales[index / 32 * 2], scales[index / 32 * 2 + 1]]);
            let values = tensor.data().iter().enumerate();
            values.map(|(index, value)| f32::from(value.cast_signed()) * scale(index).to_f32()).collect()
        } else {
            assert_eq!(tensor.dtype(), Dtype::F32, "{name}");
            tensor.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        };
        assert!(found == expected, "{name}");
    }
    assert!(quantised > 0);
}
