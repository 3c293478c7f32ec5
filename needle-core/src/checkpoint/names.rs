//! Names and shapes of every tensor of a network, and where the published checkpoint keeps them.

use indexmap::IndexMap;

use super::config::ModelConfig;
use super::tensor::Tensor;

/// One tensor that a network of a given config has.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    /// Leaf of the published checkpoint that holds it; copy head and static embedding have none.
    pub(super) published: Option<Leaf>,
}

/// A leaf of the published checkpoint, whole or one layer of it.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) path: String,
    /// Index on axis 0 and the number of layers, where layers are stacked.
    pub(super) layer: Option<(usize, usize)>,
}

impl Leaf {
    /// Dense kernels are (in, out) there and (out, in) here.
    pub(super) fn is_kernel(&self) -> bool {
        self.path.ends_with("/kernel")
    }
}

/// Every tensor of the network, in a fixed order.
pub(super) fn expected(config: &ModelConfig) -> Vec<Expected> {
    let d = config.d_model;
    let mut all = Vec::new();
    let mut whole = |name: &str, path: Option<&str>, shape: Vec<usize>| {
        let published = path.map(|path| Leaf { path: path.into(), layer: None });
        all.push(Expected { name: name.into(), shape, published });
    };
    whole("embedding.weight", Some("embedding/embedding"), vec![config.vocab_size, d]);
    whole("encoder.final_norm.scale", Some("encoder/final_norm/scale"), vec![d]);
    whole("decoder.final_norm.scale", Some("decoder/ZCRMSNorm_0/scale"), vec![d]);
    whole("contrastive.hidden.weight", Some("contrastive_hidden/kernel"), vec![d / 4, d]);
    whole("contrastive.hidden.bias", Some("contrastive_hidden/bias"), vec![d / 4]);
    whole("contrastive.proj.weight", Some("contrastive_proj/kernel"), vec![config.contrastive_dim, d / 4]);
    if config.copy_head {
        whole("copy.q_proj.weight", None, vec![d, d]);
        whole("copy.k_proj.weight", None, vec![d, d]);
        whole("copy.gate.weight", None, vec![1, d]);
        whole("copy.gate.bias", None, vec![1]);
    }
    if let Some(table) = config.static_embedding {
        whole("static_embedding.weight", None, vec![config.vocab_size, table.dim]);
    }
    let encoder = Stack { ours: "encoder", published: "EncoderBlock_0", layers: config.num_encoder_layers };
    encoder.sublayer(config, &mut all, ["attn_norm", "ZCRMSNorm_0", "attn_gate", "self_attn"]);
    let decoder = Stack { ours: "decoder", published: "DecoderBlock_0", layers: config.num_decoder_layers };
    decoder.sublayer(config, &mut all, ["self_attn_norm", "ZCRMSNorm_0", "self_attn_gate", "self_attn"]);
    decoder.sublayer(config, &mut all, ["cross_attn_norm", "ZCRMSNorm_1", "cross_attn_gate", "cross_attn"]);
    all
}

/// The encoder's or the decoder's layers.
struct Stack {
    ours: &'static str,
    published: &'static str,
    layers: usize,
}

impl Stack {
    /// One gated attention of every layer: our norm's name, the published norm's, the gate's and the attention's.
    fn sublayer(&self, config: &ModelConfig, all: &mut Vec<Expected>, names: [&str; 4]) {
        let [norm, published_norm, gate, attention] = names;
        let (d, kv, head) = (config.d_model, config.kv_dim(), config.head_dim());
        let mut parts = vec![
            (format!("{norm}.scale"), format!("{published_norm}/scale"), vec![d]),
            (gate.to_owned(), gate.to_owned(), vec![1]),
        ];
        for (part, width) in [("q_proj", d), ("k_proj", kv), ("v_proj", kv), ("out_proj", d)] {
            let names = (format!("{attention}.{part}.weight"), format!("{attention}/{part}/kernel"));
            parts.push((names.0, names.1, vec![width, d]));
        }
        for part in ["q_norm", "k_norm"] {
            let names = (format!("{attention}.{part}.scale"), format!("{attention}/{part}/scale"));
            parts.push((names.0, names.1, vec![head]));
        }
        for layer in 0..self.layers {
            for (name, path, shape) in &parts {
                all.push(Expected {
                    name: format!("{}.layers.{layer}.{name}", self.ours),
                    shape: shape.clone(),
                    published: Some(Leaf {
                        path: format!("{}/layers/{}/{path}", self.ours, self.published),
                        layer: Some((layer, self.layers)),
                    }),
                });
            }
        }
    }
}

/// Checks that a file holds every tensor of the network in its shape, and nothing else.
pub(super) fn check(config: &ModelConfig, tensors: &IndexMap<String, Tensor>) -> Result<(), String> {
    let expected = expected(config);
    let mut missing = Vec::new();
    for Expected { name, shape, .. } in &expected {
        match tensors.get(name) {
            None => missing.push(name.as_str()),
            Some(tensor) if tensor.shape != *shape => {
                return Err(format!(
                    "tensor {name} has shape {:?}, the config says {shape:?}; are config and weights of one model?",
                    tensor.shape
                ));
            }
            Some(_) => {}
        }
    }
    if !missing.is_empty() {
        return Err(format!("lacks {}", list("tensor", &missing)));
    }
    if tensors.len() > expected.len() {
        let known: std::collections::HashSet<&str> =
            expected.iter().map(|tensor| tensor.name.as_str()).collect();
        let extra: Vec<&str> =
            tensors.keys().map(String::as_str).filter(|name| !known.contains(name)).collect();
        return Err(format!("holds {} that the config does not explain", list("tensor", &extra)));
    }
    Ok(())
}

/// `tensor a`, or `2 tensors: a, b`, or the first few of many.
pub(super) fn list(noun: &str, names: &[&str]) -> String {
    const SHOWN: usize = 4;
    match names {
        [one] => format!("{noun} {one}"),
        few if few.len() <= SHOWN => format!("{} {noun}s: {}", few.len(), few.join(", ")),
        many => format!("{} {noun}s: {}, …", many.len(), many[..SHOWN].join(", ")),
    }
}
