//! How near the meanings of query and tools are: a second opinion on which tool is meant, and on whether one is.
//!
//! The network's odds are multiplied by those of the static embedding (a product of experts, Hinton, 1999).

use crate::checkpoint::config::StaticEmbeddingConfig;

/// Cosines of a query with the tools of one decision.
#[derive(Debug)]
pub(crate) struct Similarity {
    cosines: Vec<f32>,
    weights: StaticEmbeddingConfig,
}

impl Similarity {
    /// Compares the static embeddings of a query and of the tools.
    pub(crate) fn new<'a>(
        query: &[f32],
        tools: impl Iterator<Item = &'a [f32]>,
        weights: StaticEmbeddingConfig,
    ) -> Self {
        Self { cosines: tools.map(|tool| cosine(query, tool)).collect(), weights }
    }

    /// The factor on a call's odds: 1, or less where no tool is near. Nearness is no reason to call: a request that
    /// no tool fits is often near to one.
    pub(crate) fn of_calling(&self) -> f64 {
        f64::from(self.weights.opening_weight * (self.best() - self.weights.opening_cosine).min(0.0)).exp()
    }

    /// The factor by which a tool's odds rise over those of one whose cosine is 0.
    pub(crate) fn of_tool(&self, tool: usize) -> f64 {
        let cosine = self.cosines.get(tool).copied().unwrap_or_default();
        f64::from(self.weights.name_weight * cosine).exp()
    }

    /// The best cosine, 0 if there is no tool.
    pub(crate) fn best(&self) -> f32 {
        self.cosines.iter().copied().reduce(f32::max).unwrap_or_default()
    }
}

/// The product of two vectors of length 1.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odds_follow_the_cosines() {
        let weights =
            StaticEmbeddingConfig { dim: 2, name_weight: 2.0, opening_weight: 10.0, opening_cosine: 0.5 };
        let tools: [&[f32]; 3] = [&[1.0, 0.0], &[0.6, 0.8], &[0.0, 1.0]];
        let similarity = |query: [f32; 2]| Similarity::new(&query, tools.into_iter(), weights);
        let near = similarity([0.0, 1.0]);
        assert!((near.of_tool(1) - 1.6_f64.exp()).abs() < 1e-6 && (near.of_tool(0) - 1.0).abs() < 1e-6);
        assert!((near.of_calling() - 1.0).abs() < 1e-6);
        assert!((near.best() - 1.0).abs() < 1e-6);
        assert!((similarity([-1.0, 0.0]).of_calling() - (-5.0_f64).exp()).abs() < 1e-6);
    }
}
