//! Checkpoints: every form of the published pickle, bundles of every storage type, and broken or hostile files.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/formula.rs"]
mod formula;

use std::path::{Path, PathBuf};

use needle_core::checkpoint::{Checkpoint, Overwrite, Quantization, TokenizerFile};
use proptest::prelude::*;

const TINY: &[u8] = include_bytes!("../../tests/golden/tiny.pkl");

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name)
}

/// A directory of its own for a test, removed when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("needle-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Every tensor's name, shape and values.
fn contents(checkpoint: &Checkpoint) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    checkpoint
        .tensors()
        .map(|(name, shape)| (name.to_owned(), shape.to_vec(), checkpoint.take(name, shape).unwrap()))
        .collect()
}

fn refusal(path: &Path) -> String {
    Checkpoint::open(path).unwrap_err().to_string()
}

#[test]
fn the_published_form_holds_the_values_of_the_formula() {
    let checkpoint = Checkpoint::open(golden("tiny.pkl")).unwrap();
    let mut count = 0;
    for (name, shape, values) in contents(&checkpoint) {
        let (expected_shape, expected) = formula::tensor(&name, formula::TINY).unwrap();
        assert_eq!((&shape, &values), (&expected_shape, &expected), "{name}");
        count += 1;
    }
    assert_eq!(count, 6 + 3 * 8 + 2 * 16);
    assert_eq!(checkpoint.config.max_seq_len, 128);
}

/// The list of leaves that the formula fills is the published model's own.
#[test]
fn the_formula_covers_the_published_leaves() {
    let text = include_str!("../../tests/golden/full.params.json");
    let mut published: Vec<(String, Vec<usize>)> = serde_json::from_str(text).unwrap();
    let mut ours = formula::leaves(formula::FULL);
    published.sort();
    ours.sort();
    assert_eq!(ours, published);
    let parameters: usize = ours.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
    assert_eq!(parameters, 26_315_421);
}

#[test]
fn every_form_of_the_pickle_holds_the_same_values() {
    let mut files: Vec<_> =
        std::fs::read_dir(golden("pickles")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 20);
    let expected = contents(&Checkpoint::open(&files[0]).unwrap());
    // Values that numpy itself shows; kernels are (in, out) there and (out, in) here.
    let values = |wanted: &str| &expected.iter().find(|(name, ..)| name == wanted).unwrap().2;
    assert_eq!(format!("{:?}", &values("embedding.weight")[..3]), "[-1.75, -0.875, 0.0]");
    let k_proj = values("encoder.layers.1.self_attn.k_proj.weight");
    assert_eq!(format!("{:?}", [k_proj[0], k_proj[1], k_proj[8]]), "[-1.125, -1.5, -0.25]");
    for file in &files[1..] {
        assert_eq!(contents(&Checkpoint::open(file).unwrap()), expected, "{}", file.display());
    }
}

#[test]
fn bundles_keep_what_their_storage_can_hold() {
    let scratch = Scratch::new("bundles");
    let mut checkpoint = Checkpoint::open(golden("tiny.pkl")).unwrap();
    checkpoint.tokenizer = Some(TokenizerFile::load(&golden("sp.model")).unwrap());
    let original = contents(&checkpoint);
    for (quantization, steps) in [
        (Quantization::F32, 0.0),
        (Quantization::F16, 0.0),
        (Quantization::Bf16, 1.0 / 256.0),
        (Quantization::Int8, 0.51 / 127.0),
        (Quantization::Int4, 0.51 / 7.0),
    ] {
        let directory = scratch.0.join(format!("{quantization:?}"));
        checkpoint.save(&directory, quantization, Overwrite::Never).unwrap();
        let saved = Checkpoint::open(&directory).unwrap();
        assert_eq!((&saved.config, &saved.tokenizer), (&checkpoint.config, &checkpoint.tokenizer));
        for (name, shape, values) in &original {
            let found = saved.take(name, shape).unwrap();
            for (group, (found, value)) in found.iter().zip(values).enumerate() {
                let start = group / 32 * 32;
                let largest =
                    values[start..(start + 32).min(values.len())].iter().fold(0.0_f32, |m, x| m.max(x.abs()));
                assert!(
                    (found - value).abs() <= steps * largest,
                    "{quantization:?} {name}: {found} for {value}"
                );
            }
        }
        let again = checkpoint.save(&directory, quantization, Overwrite::Never).unwrap_err().to_string();
        assert!(again.contains("exists"), "{again}");
        checkpoint.save(&directory, quantization, Overwrite::Bundle).unwrap();
        std::fs::write(directory.join("notes.txt"), "mine").unwrap();
        let foreign = checkpoint.save(&directory, quantization, Overwrite::Bundle).unwrap_err().to_string();
        assert!(foreign.contains("notes.txt"), "{foreign}");
    }
}

#[test]
fn hostile_pickles_are_refused_by_name_and_do_nothing() {
    let scratch = Scratch::new("hostile");
    let system: [(&str, &[u8]); 5] = [
        ("protocol 2", b"\x80\x02cos\nsystem\nX\x05\x00\x00\x00false\x85R."),
        ("protocol 4", b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x05false\x85R."),
        ("memoised", b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940h\x00h\x01\x93."),
        ("posix", b"\x80\x02cposix\nsystem\n."),
        ("eval", b"\x80\x03cbuiltins\neval\n."),
    ];
    for (name, bytes) in system {
        let message = refusal(&scratch.file("system.pkl", bytes));
        assert!(message.contains("asks for") && message.contains("was not loaded"), "{name}: {message}");
    }
    let refused = [
        ("protocol 0", b"cos\nsystem\n(S'false'\ntR.".to_vec(), "is no model"),
        ("deep", [b"\x80\x04".to_vec(), vec![b'('; 100_000]].concat(), "nests deeper"),
        ("no end", b"\x80\x04]]a".to_vec(), "truncated"),
        ("huge text", b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f".to_vec(), "truncated"),
        ("huge bytes", b"\x80\x04B\xff\xff\xff\xff".to_vec(), "truncated"),
        ("unknown opcode", b"\x80\x04\x97.".to_vec(), "opcode 0x97"),
        ("unstored", b"\x80\x04h\x07.".to_vec(), "never stored"),
        ("empty stack", b"\x80\x04R.".to_vec(), "too few"),
        ("number", b"\x80\x04K\x01.".to_vec(), "without \"config\""),
        ("protocol 9", b"\x80\x04\x80\x09.".to_vec(), "protocol 9"),
    ];
    for (name, bytes, expected) in refused {
        let message = refusal(&scratch.file("hostile.pkl", &bytes));
        assert!(message.contains(expected), "{name}: {message}");
    }
}

#[test]
fn arrays_that_lie_about_their_size_and_dicts_that_multiply_are_refused() {
    let scratch = Scratch::new("lies");
    // _reconstruct, then a state with the shape (2^31 - 1, 2^31 - 1) and one byte.
    let array: &[u8] = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R\
        (K\x01J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86cnumpy\ndtype\n\x8c\x02f2\x89\x88\x87R\x89C\x01ctb";
    let file = [b"\x80\x04}\x8c\x06params".as_slice(), array, b"s."].concat();
    let message = refusal(&scratch.file("lie.pkl", &file));
    assert!(message.contains("do not fit"), "{message}");
    let message = refusal(&golden("bomb.pkl"));
    assert!(message.contains("without end"), "{message}");
}

#[test]
fn files_that_are_no_models_say_what_they_are() {
    let scratch = Scratch::new("nomodel");
    assert!(refusal(&scratch.file("empty", b"")).contains("is empty"));
    assert!(refusal(&scratch.file("text", b"hello")).contains("is no model"));
    assert!(
        refusal(&scratch.file("lfs", b"version https://git-lfs.github.com/spec/v1\n")).contains("Git LFS")
    );
    assert!(refusal(&scratch.0).contains("has no config.json"));
    assert!(refusal(Path::new("does/not/exist")).contains("does/not/exist"));
}

#[test]
fn damaged_bundles_are_refused_with_the_reason() {
    let scratch = Scratch::new("damaged");
    let directory = scratch.0.join("bundle");
    Checkpoint::open(golden("tiny.pkl"))
        .unwrap()
        .save(&directory, Quantization::Int8, Overwrite::Never)
        .unwrap();
    let weights = std::fs::read(directory.join("model.safetensors")).unwrap();
    std::fs::write(directory.join("model.safetensors"), &weights[..weights.len() - 100]).unwrap();
    assert!(refusal(&directory).contains("truncated"));
    std::fs::write(directory.join("model.safetensors"), &weights[..5]).unwrap();
    assert!(refusal(&directory).contains("truncated"));
    std::fs::write(directory.join("model.safetensors"), &weights).unwrap();
    let config = std::fs::read_to_string(directory.join("config.json")).unwrap();
    std::fs::write(directory.join("config.json"), config.replace("\"d_model\": 64", "\"d_model\": 128"))
        .unwrap();
    let message = refusal(&directory);
    assert!(message.contains("has shape") && message.contains("the config says"), "{message}");
    std::fs::write(directory.join("config.json"), "{").unwrap();
    assert!(refusal(&directory).contains("wrong config"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn changed_pickles_never_panic(at in 0..TINY.len().min(4000), bytes in prop::collection::vec(any::<u8>(), 1..8), cut in 0..TINY.len()) {
        let scratch = Scratch::new("changed");
        let mut changed = TINY.to_vec();
        changed[at..at + bytes.len()].copy_from_slice(&bytes);
        let opened = Checkpoint::open(scratch.file("changed.pkl", &changed));
        if let Ok(checkpoint) = opened {
            for (name, shape) in checkpoint.tensors() {
                // Values may have become infinite, which is an error too.
                let _ = checkpoint.take(name, shape);
            }
        }
        prop_assert!(Checkpoint::open(scratch.file("cut.pkl", &TINY[..cut])).is_err());
    }

    #[test]
    fn changed_safetensors_never_panic(at in 0_usize..3000, bytes in prop::collection::vec(any::<u8>(), 1..8)) {
        let parity = include_bytes!("../../tests/golden/parity_joint.safetensors");
        let scratch = Scratch::new("tensors");
        let mut changed = parity.to_vec();
        changed[at..at + bytes.len()].copy_from_slice(&bytes);
        // The file holds tensors that no config explains, so it is always refused.
        prop_assert!(Checkpoint::open(scratch.file("changed.safetensors", &changed)).is_err());
    }
}
