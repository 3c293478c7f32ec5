//! Weights by formula: every leaf of the golden `tiny` and `full` checkpoints, without a download.
//!
//! For flat row-major index k of the leaf at `path` (published spelling, such as `encoder/final_norm/scale`):
//! `z = splitmix64(k + 1, FNV1a64(path))`, `u = (z >> 40) / 2^23 - 1` in -1..1, leaf = `f16(s * u)`.
//! Include with `#[path = "support/formula.rs"] mod formula;`.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary includes this file and uses its own part of it"
)]

/// Sizes that leaf shapes depend on.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub vocab_size: usize,
    pub d_model: usize,
    pub num_heads: usize,
    pub num_kv_heads: usize,
    pub num_encoder_layers: usize,
    pub num_decoder_layers: usize,
    pub contrastive_dim: usize,
}

/// The golden `tiny` checkpoint.
pub const TINY: Sizes = Sizes {
    vocab_size: 512,
    d_model: 64,
    num_heads: 4,
    num_kv_heads: 2,
    num_encoder_layers: 3,
    num_decoder_layers: 2,
    contrastive_dim: 32,
};

/// The published size.
pub const FULL: Sizes = Sizes {
    vocab_size: 8192,
    d_model: 512,
    num_heads: 8,
    num_kv_heads: 4,
    num_encoder_layers: 12,
    num_decoder_layers: 8,
    contrastive_dim: 128,
};

/// Leaf paths and shapes of a published checkpoint, layers stacked on axis 0, kernels (in, out).
pub fn leaves(sizes: Sizes) -> Vec<(String, Vec<usize>)> {
    let Sizes { vocab_size: v, d_model: d, contrastive_dim: c, .. } = sizes;
    let head = d / sizes.num_heads;
    let kv = head * sizes.num_kv_heads;
    let mut all = vec![
        ("embedding/embedding".into(), vec![v, d]),
        ("encoder/final_norm/scale".into(), vec![d]),
        ("decoder/ZCRMSNorm_0/scale".into(), vec![d]),
        ("contrastive_hidden/kernel".into(), vec![d, d / 4]),
        ("contrastive_hidden/bias".into(), vec![d / 4]),
        ("contrastive_proj/kernel".into(), vec![d / 4, c]),
        ("log_temp".into(), vec![]),
    ];
    let mut block = |prefix: &str, layers: usize, sublayers: &[(&str, &str, &str)]| {
        for (norm, gate, attention) in sublayers {
            all.push((format!("{prefix}/{norm}/scale"), vec![layers, d]));
            all.push((format!("{prefix}/{gate}"), vec![layers]));
            for (part, shape) in [
                ("q_proj/kernel", vec![layers, d, d]),
                ("k_proj/kernel", vec![layers, d, kv]),
                ("v_proj/kernel", vec![layers, d, kv]),
                ("out_proj/kernel", vec![layers, d, d]),
                ("q_norm/scale", vec![layers, head]),
                ("k_norm/scale", vec![layers, head]),
            ] {
                all.push((format!("{prefix}/{attention}/{part}"), shape));
            }
        }
    };
    block(
        "encoder/layers/EncoderBlock_0",
        sizes.num_encoder_layers,
        &[("ZCRMSNorm_0", "attn_gate", "self_attn")],
    );
    block(
        "decoder/layers/DecoderBlock_0",
        sizes.num_decoder_layers,
        &[("ZCRMSNorm_0", "self_attn_gate", "self_attn"), ("ZCRMSNorm_1", "cross_attn_gate", "cross_attn")],
    );
    all
}

/// Values of one published leaf, row-major, rounded to f16 as the checkpoint stores them.
pub fn values(path: &str, shape: &[usize]) -> Vec<f32> {
    values_in(path, shape, 0..shape.iter().product())
}

/// The values of a range of a leaf's flat indices.
fn values_in(path: &str, shape: &[usize], range: std::ops::Range<usize>) -> Vec<f32> {
    let seed = fnv1a64(path);
    let s = scale(path, shape);
    (range.start as u64 + 1..=range.end as u64)
        .map(|k| half::f16::from_f32(s * uniform(k, seed)).to_f32())
        .collect()
}

/// One of this project's tensors (`encoder.layers.0.attn_gate`, …): its shape and its values, unstacked from the
/// published leaf and with kernels transposed to (out, in). `None` where the name is not one of the network's.
pub fn tensor(name: &str, sizes: Sizes) -> Option<(Vec<usize>, Vec<f32>)> {
    let (path, layer) = published(name)?;
    let (_, shape) = leaves(sizes).into_iter().find(|(leaf, _)| *leaf == path)?;
    let mut range = 0..shape.iter().product();
    let stacked = shape.clone();
    let mut shape = shape;
    if let Some(layer) = layer {
        let layers = shape.remove(0);
        if layer >= layers {
            return None;
        }
        let count = range.end / layers;
        range = layer * count..(layer + 1) * count;
        if shape.is_empty() {
            shape = vec![1];
        }
    }
    let values = values_in(&path, &stacked, range);
    if path.ends_with("kernel") {
        let (input, output) = (shape[0], shape[1]);
        let transposed =
            (0..output).flat_map(|o| (0..input).map(move |i| (i, o))).map(|(i, o)| values[i * output + o]);
        return Some((vec![output, input], transposed.collect()));
    }
    Some((shape, values))
}

/// Published leaf path and layer of one of this project's tensor names.
fn published(name: &str) -> Option<(String, Option<usize>)> {
    let whole = match name {
        "embedding.weight" => "embedding/embedding",
        "encoder.final_norm.scale" => "encoder/final_norm/scale",
        "decoder.final_norm.scale" => "decoder/ZCRMSNorm_0/scale",
        "contrastive.hidden.weight" => "contrastive_hidden/kernel",
        "contrastive.hidden.bias" => "contrastive_hidden/bias",
        "contrastive.proj.weight" => "contrastive_proj/kernel",
        _ => "",
    };
    if !whole.is_empty() {
        return Some((whole.into(), None));
    }
    let (stack, rest) = name.split_once(".layers.")?;
    let (layer, part) = rest.split_once('.')?;
    let prefix = match stack {
        "encoder" => "encoder/layers/EncoderBlock_0",
        "decoder" => "decoder/layers/DecoderBlock_0",
        _ => return None,
    };
    let part = match part {
        "attn_norm.scale" | "self_attn_norm.scale" => "ZCRMSNorm_0/scale".into(),
        "cross_attn_norm.scale" => "ZCRMSNorm_1/scale".into(),
        other => other.replace('.', "/").replace("/weight", "/kernel"),
    };
    Some((format!("{prefix}/{part}"), Some(layer.parse().ok()?)))
}

fn scale(path: &str, shape: &[usize]) -> f32 {
    if path.starts_with("embedding/") {
        0.05
    } else if path.ends_with("/kernel") {
        let fan_in = shape[shape.len() - 2] as f64;
        #[allow(clippy::cast_possible_truncation, reason = "the reference rounds this f64 to f32")]
        let scale = (1.5 * (3.0 / fan_in).sqrt()) as f32;
        scale
    } else {
        0.3
    }
}

fn uniform(k: u64, seed: u64) -> f32 {
    let z = k.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(seed);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let z = z ^ (z >> 31);
    (z >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
}

fn fnv1a64(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}
