//! Which tools take part where a catalogue holds more than one decision should look at.

use crate::catalogue::CompiledTool;
use crate::similarity::cosine;

/// The retrieval embedding, of length 1: what the contrastive head and the static embedding make of a text, side by
/// side, so that a cosine is the mean of theirs.
pub(crate) fn embedding(mut contrastive: Vec<f32>, meaning: Option<&[f32]>) -> Vec<f32> {
    if let Some(meaning) = meaning {
        contrastive.extend(meaning);
        for value in &mut contrastive {
            *value *= std::f32::consts::FRAC_1_SQRT_2;
        }
    }
    contrastive
}

/// The tools of one decision, by index into the catalogue in the catalogue's order.
#[derive(Debug, PartialEq)]
pub(crate) struct Candidates {
    pub(crate) tools: Vec<usize>,
    /// Cosine of each of them with the query; empty where all tools take part.
    pub(crate) cosines: Vec<f32>,
    /// Cosine of the best tool that was left out.
    best_left_out: Option<f32>,
}

impl Candidates {
    /// All tools, without looking at the query.
    pub(crate) fn all(count: usize) -> Self {
        Self { tools: (0..count).collect(), cosines: Vec::new(), best_left_out: None }
    }

    /// The `count` tools nearest to the query's embedding.
    pub(crate) fn nearest(tools: &[CompiledTool], query: &[f32], count: usize) -> Self {
        let mut ranked: Vec<(usize, f32)> =
            tools.iter().map(|tool| cosine(tool.embedding(), query)).enumerate().collect();
        // Equal cosines keep the catalogue's order: sorting is stable.
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        let best_left_out = ranked.get(count).map(|(_, cosine)| *cosine);
        ranked.truncate(count);
        ranked.sort_by_key(|(index, _)| *index);
        let (tools, cosines) = ranked.into_iter().unzip();
        Self { tools, cosines, best_left_out }
    }

    /// Cosine of the chosen tools (the least; of the best candidate if none was chosen) minus that of the best
    /// tool left out; `None` if none was left out. `chosen` are indices into the candidates.
    pub(crate) fn margin(&self, chosen: &[usize]) -> Option<f32> {
        let left_out = self.best_left_out?;
        let cosine = |&index: &usize| self.cosines.get(index).copied();
        let worst = chosen.iter().filter_map(cosine).reduce(f32::min);
        let kept = worst.or_else(|| self.cosines.iter().copied().reduce(f32::max))?;
        Some(kept - left_out)
    }
}
