//! Pickles and tensor files that someone made to break the reader: it answers soon, with an error, and without panic.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use needle_core::checkpoint::{Checkpoint, Overwrite, Quantization};
use proptest::prelude::*;

/// Far more than any of these files needs, far less than a file that multiplies takes.
const SOON: Duration = Duration::from_secs(10);

/// A directory of its own for a test, removed when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("needle-hostile-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Opens these bytes as a file; reads every tensor if that succeeds.
    fn open(&self, bytes: &[u8]) -> Result<(), String> {
        let path = self.0.join("file");
        std::fs::write(&path, bytes).unwrap();
        read_all(&Checkpoint::open(&path).map_err(|error| error.to_string())?)
    }

    /// The message for a file that must be refused soon and in few words.
    fn refusal(&self, bytes: &[u8]) -> String {
        let start = Instant::now();
        let message = self.open(bytes).unwrap_err();
        assert!(start.elapsed() < SOON, "took {:?}: {message}", start.elapsed());
        assert!(message.len() < 2000, "a message of {} bytes", message.len());
        message
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn read_all(checkpoint: &Checkpoint) -> Result<(), String> {
    for (name, shape) in checkpoint.tensors() {
        checkpoint.take(name, shape).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Protocol 4, then the parts.
fn pickle(parts: &[&[u8]]) -> Vec<u8> {
    [b"\x80\x04".as_slice(), &parts.concat()].concat()
}

/// BINUNICODE.
fn text(text: &str) -> Vec<u8> {
    [b"X".as_slice(), &u32::try_from(text.len()).unwrap().to_le_bytes(), text.as_bytes()].concat()
}

/// A config that is right, for files whose parameters are wrong.
fn config() -> Vec<u8> {
    let mut items = b"}(".to_vec();
    for (key, value) in [
        ("vocab_size", 8),
        ("d_model", 8),
        ("num_heads", 2),
        ("num_kv_heads", 1),
        ("num_encoder_layers", 2),
        ("num_decoder_layers", 1),
        ("contrastive_dim", 4),
    ] {
        items.extend([text(key), vec![b'K', value]].concat());
    }
    items.push(b'u');
    items
}

/// `{"config": ..., "params": <params>}`, memo 0 and 1 free for `before`.
fn checkpoint(before: &[u8], params: &[u8]) -> Vec<u8> {
    pickle(&[before, b"}(", &text("config"), &config(), &text("params"), params, b"u."])
}

#[test]
fn values_taken_from_below_a_mark_are_missed() {
    let scratch = Scratch::new("mark");
    for bytes in
        [&b"KKK\x01K\x02(\x86t."[..], b"K\x01(\x85t.", b"K\x01K\x02K\x03(\x87u.", b"K\x01(00(t.", b"(2."]
    {
        let message = scratch.refusal(&pickle(&[bytes]));
        assert!(message.contains("too few values"), "{bytes:?}: {message}");
    }
}

#[test]
fn files_that_multiply_through_the_memo_are_stopped() {
    let scratch = Scratch::new("memo");
    let long = text(&"x".repeat(400_000));

    // One shape of 200,000 axes, set on 50,000 arrays.
    let mut shape = b"(".to_vec();
    shape.extend(b"K\x01".repeat(200_000));
    shape.extend(b"tq\x000cnumpy.core.multiarray\n_reconstruct\nq\x010cnumpy\nndarray\nq\x020");
    shape.extend(b"cnumpy\ndtype\n\x8c\x02f2\x85Rq\x030C\x02abq\x040");
    let array: &[u8] = b"h\x01h\x02\x85R(K\x01h\x00h\x03\x89h\x04tb0";
    let message = scratch.refusal(&pickle(&[&shape, &array.repeat(50_000), b"."]));
    assert!(message.contains("axes"), "{message}");

    // One text of 400 kB, decoded 50,000 times.
    let prefix = [&long, &b"q\x000c_codecs\nencode\nq\x010\x8c\x06latin1q\x020"[..]].concat();
    let message = scratch.refusal(&pickle(&[&prefix, &b"h\x01h\x00h\x02\x86R".repeat(50_000), b"."]));
    assert!(message.contains("more than once"), "{message}");

    // One tuple of 400,000 arguments, passed 100,000 times.
    let mut prefix = b"cnumpy.core.multiarray\n_reconstruct\nq\x000(cnumpy\nndarray\n".to_vec();
    prefix.extend(b"N".repeat(400_000));
    prefix.extend(b"tq\x010");
    let message = scratch.refusal(&pickle(&[&prefix, &b"h\x00h\x01R0".repeat(100_000), b"."]));
    assert!(message.contains("values, which no array"), "{message}");

    // One long key over 100,000 parameters.
    let mut names = b"}(".to_vec();
    for index in 0..50_000 {
        names.extend([text(&format!("{index:x}")), b"N".to_vec()].concat());
    }
    let params = [&b"}h\x00"[..], &names, b"us"].concat();
    let message = scratch.refusal(&checkpoint(&[&long, &b"q\x000"[..]].concat(), &params));
    assert!(message.contains("longer than"), "{message}");

    // One long value (or key) in 100,000 places of the config.
    for (key, value) in [("", "h\x00"), ("h\x00", "K\x01")] {
        let mut config = [&long, &b"q\x000}("[..], &text("config"), b"}("].concat();
        for index in 0..100_000 {
            let key = if key.is_empty() { text(&format!("{index:x}")) } else { key.into() };
            config.extend([key.as_slice(), value.as_bytes()].concat());
        }
        let message = scratch.refusal(&pickle(&[&config, b"u", &text("params"), b"}u."]));
        assert!(message.contains("missing field"), "{message}");
    }
}

#[test]
fn files_with_too_many_values_are_stopped() {
    let scratch = Scratch::new("many");
    for opcode in [&b"N"[..], b")", b"]", b"}", b"N0", b"N2\x94"] {
        let message = scratch.refusal(&pickle(&[&opcode.repeat(2_000_000)]));
        assert!(message.contains("opcodes"), "{opcode:?}: {message}");
    }
}

#[test]
fn parameters_that_hide_something_are_refused() {
    let scratch = Scratch::new("params");
    for (params, expected) in [
        // A dict whose keys are numbers, one that holds itself, an array without values.
        (&b"}K\x01}s"[..], "a key that is an int"),
        (b"}q\x00\x8c\x01ah\x00s", "without end"),
        (b"}\x8c\x01acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n\x85Rs", "without values"),
        (b"}\x8c\x01aK\x01s", "an int at a"),
        (b"}", "lacks embedding/embedding"),
    ] {
        let message = scratch.refusal(&checkpoint(b"", params));
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn long_and_strange_names_are_shown_short_and_escaped() {
    let scratch = Scratch::new("names");
    let message = scratch.refusal(&pickle(&[&text(&"o\u{1b}".repeat(100_000)), &text("system"), b"\x93."]));
    assert!(message.contains("o\\u{1b}o") && !message.contains('\u{1b}'), "{message}");
    let message = scratch.refusal(&pickle(&[b"cnumpy\ndtype\n", &text(&"f".repeat(100_000)), b"\x85R."]));
    assert!(message.contains("ffff"), "{message}");
}

/// A bundle's weights as int8 (or int4) of the small golden checkpoint.
fn bundle(quantization: Quantization) -> (Vec<u8>, Vec<u8>) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/tiny.pkl");
    let scratch = Scratch::new(&format!("bundle-{quantization:?}-{:?}", std::thread::current().id()));
    let directory = scratch.0.join("bundle");
    Checkpoint::open(golden).unwrap().save(&directory, quantization, Overwrite::Never).unwrap();
    let read = |name: &str| std::fs::read(directory.join(name)).unwrap();
    (read("config.json"), read("model.safetensors"))
}

/// Opcodes and arguments of array pickles, joined at random: far likelier to reach the depths than random bytes.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> = vec![
        b"(",
        b"0",
        b"1",
        b"2",
        b")",
        b"]",
        b"}",
        b"t",
        b"l",
        b"d",
        b"a",
        b"e",
        b"s",
        b"u",
        b"R",
        b"b",
        b"\x93",
        b"\x85",
        b"\x86",
        b"\x87",
        b"\x94",
        b"q\x00",
        b"q\x01",
        b"h\x00",
        b"h\x01",
        b"N",
        b"\x88",
        b"\x89",
        b"K\x01",
        b"K\x00",
        b"J\xff\xff\xff\xff",
        b"\x8a\x01\x02",
        b"G\0\0\0\0\0\0\0\0",
        b"C\x02ab",
        b"C\x01b",
        b"\x8c\x01<",
        b"\x8c\x02f2",
        b"\x8c\x01C",
        b"\x8c\x06params",
        b"\x8c\x06config",
        b"\x8c\x06latin1",
        b"\x8c\x05numpy",
        b"\x8c\x05dtype",
        b"cnumpy\nndarray\n",
        b"cnumpy\ndtype\n",
        b"cnumpy.core.multiarray\n_reconstruct\n",
        b"cnumpy._core.numeric\n_frombuffer\n",
        b"cnumpy.core.multiarray\nscalar\n",
        b"c_codecs\nencode\n",
        b"cml_dtypes\nbfloat16\n",
        b"cbuiltins\nbytes\n",
        b".",
    ];
    prop::sample::select(pieces).prop_map(<[u8]>::to_vec)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, ..ProptestConfig::default() })]

    #[test]
    fn programs_of_opcodes_never_panic(pieces in prop::collection::vec(piece(), 0..60)) {
        let scratch = Scratch::new("programs");
        prop_assert!(scratch.open(&pickle(&[&pieces.concat(), b"."])).is_err());
    }

    #[test]
    fn parameters_of_opcodes_never_panic(pieces in prop::collection::vec(piece(), 0..40)) {
        let scratch = Scratch::new("parameters");
        prop_assert!(scratch.open(&checkpoint(b"", &pieces.concat())).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn changed_and_cut_forms_never_panic(
        form in 0_usize..20,
        at in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 1..8),
    ) {
        let scratch = Scratch::new("forms");
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/pickles");
        let mut files: Vec<_> = std::fs::read_dir(golden).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let file = std::fs::read(&files[form]).unwrap();
        let mut changed = file.clone();
        let at = at.index(changed.len());
        for (old, new) in changed[at..].iter_mut().zip(bytes) {
            *old = new;
        }
        let _ = scratch.open(&changed);
        prop_assert!(scratch.open(&file[..at]).is_err());
    }
}

#[test]
fn changed_and_cut_bundles_never_panic() {
    for quantization in [Quantization::Int8, Quantization::Int4] {
        let (config, weights) = bundle(quantization);
        let header = 8 + usize::try_from(u64::from_le_bytes(*weights.first_chunk().unwrap())).unwrap();
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
            cases: 400,
            ..ProptestConfig::default()
        });
        let open = |bytes: Vec<u8>| Checkpoint::from_bytes(&config, bytes, None, None);
        let changes = (0..header, prop::collection::vec(any::<u8>(), 1..4), 0..weights.len());
        runner
            .run(&changes, |(at, bytes, cut)| {
                let mut changed = weights.clone();
                changed[at..at + bytes.len()].copy_from_slice(&bytes);
                if let Ok(checkpoint) = open(changed) {
                    let _ = read_all(&checkpoint);
                }
                // Digits changed to digits keep the header readable and make shapes and places wrong.
                let mut changed = weights.clone();
                if changed[at].is_ascii_digit() {
                    changed[at] = b'0' + bytes[0] % 10;
                }
                if let Ok(checkpoint) = open(changed) {
                    let _ = read_all(&checkpoint);
                }
                prop_assert!(open(weights[..cut].to_vec()).is_err());
                Ok(())
            })
            .unwrap();
    }
}
