//! The network against the PyTorch network of the trainer: random weights and outputs of both layouts, with the
//! copy head (`needle-py/tests/parity.py` writes the files and checks its own side of them).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use ndarray::Array2;
use needle_core::TokenId;
use needle_core::checkpoint::config::{Layout, ModelConfig};
use needle_core::error::{Error, Result};
use needle_core::nn::contrastive;
use needle_core::nn::copy_head::copy_attention;
use needle_core::nn::decoder::{self, CrossKv, CrossPiece, DecoderState};
use needle_core::nn::encoder::{self, SegmentEncoding};
use needle_core::nn::weights::{Source, Weights};
use safetensors::SafeTensors;

const TOLERANCE: f32 = 1e-4;

struct Golden<'a>(SafeTensors<'a>);

impl Golden<'_> {
    /// The little-endian words of a tensor.
    fn words(&self, name: &str) -> Option<Vec<[u8; 4]>> {
        Some(self.0.tensor(name).ok()?.data().as_chunks::<4>().0.to_vec())
    }

    fn floats(&self, name: &str) -> Option<Vec<f32>> {
        Some(self.words(name)?.into_iter().map(f32::from_le_bytes).collect())
    }

    fn ids(&self, name: &str) -> Option<Vec<TokenId>> {
        Some(
            self.words(&format!("input.{name}"))?
                .into_iter()
                .map(|w| TokenId(u32::from_le_bytes(w)))
                .collect(),
        )
    }

    fn assert_close<'b>(&self, name: &str, found: impl IntoIterator<Item = &'b f32>) {
        let expected = self.floats(&format!("expected.{name}")).unwrap();
        let found: Vec<f32> = found.into_iter().copied().collect();
        assert_eq!(found.len(), expected.len(), "{name}");
        let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < TOLERANCE, "{name}: differs by {worst}, more than {TOLERANCE}");
    }
}

impl Source for Golden<'_> {
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let missing = || Error::Internal(format!("the golden file has no tensor {name}"));
        assert_eq!(self.0.tensor(name).map_err(|_| missing())?.shape(), shape, "{name}");
        self.floats(name).ok_or_else(missing)
    }
}

fn compare(file: &[u8]) {
    let (_, metadata) = SafeTensors::read_metadata(file).unwrap();
    let config: ModelConfig = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["config"]).unwrap();
    let mut golden = Golden(SafeTensors::deserialize(file).unwrap());
    let weights = Weights::load(&config, &mut golden).unwrap();

    let tools: Vec<SegmentEncoding> = (0..)
        .map_while(|i| golden.ids(&format!("tool{i}")))
        .map(|ids| encoder::encode_segment(&weights, &ids).unwrap())
        .collect();
    assert_eq!(tools.is_empty(), config.layout == Layout::Joint);
    let query = golden.ids("query").unwrap();
    let output =
        encoder::encode_query(&weights, &query, &tools.iter().map(SegmentEncoding::keys).collect::<Vec<_>>())
            .unwrap();
    golden.assert_close("encoder", output.hidden());
    let alone = encoder::encode(&weights, &query).unwrap();
    golden.assert_close("contrastive", &contrastive::embed(&weights, &alone));
    if !tools.is_empty() {
        let rows = |tool: &SegmentEncoding| tool.output().hidden().iter().copied().collect::<Vec<_>>();
        golden.assert_close("tools", &tools.iter().flat_map(rows).collect::<Vec<_>>());
        let embed = |tool: &SegmentEncoding| contrastive::embed(&weights, tool.output());
        golden.assert_close("tools_contrastive", &tools.iter().flat_map(embed).collect::<Vec<_>>());
    }

    let sources = tools.iter().map(SegmentEncoding::output).chain([&output]);
    let cross = CrossKv::new(sources.map(|source| Arc::new(CrossPiece::new(&weights, source))).collect());
    let target = golden.ids("target").unwrap();
    let mut state = DecoderState::new(&weights);
    let hidden: Array2<f32> = decoder::forward(&weights, &cross, &mut state, &target).unwrap();
    golden.assert_close("hidden", &hidden);
    let logits: Vec<f32> = hidden.outer_iter().flat_map(|row| decoder::logits(&weights, &row)).collect();
    golden.assert_close("logits", &logits);
    if config.copy_head {
        let (mut gates, mut pointers) = (vec![], vec![]);
        for row in hidden.outer_iter() {
            let copy = copy_attention(&weights, &cross, &row).unwrap().unwrap();
            gates.push(copy.gate);
            pointers.extend(copy.weights);
        }
        golden.assert_close("copy_gate", &gates);
        golden.assert_close("copy_weights", &pointers);
    }
}

#[test]
fn isolated_network_with_copy_head_agrees_with_pytorch() {
    compare(include_bytes!("../../tests/golden/parity_isolated.safetensors"));
}

#[test]
fn joint_network_agrees_with_pytorch() {
    compare(include_bytes!("../../tests/golden/parity_joint.safetensors"));
}
