//! One choice: the best allowed token, and how sure the model was of it.

use ndarray::{Array1, aview1};

use crate::TokenId;
use crate::grammar::TokenMask;
use crate::kernels;
use crate::trace::Unmasked;

/// Where the pointer over the source looks, for one output position (See et al., 2017).
pub(super) struct Copy<'a> {
    /// Share of the pointer in the mixture, 0 to 1.
    pub(super) gate: f32,
    /// Weights over the source, (T); they sum to 1.
    pub(super) weights: &'a [f32],
    /// The source's tokens, (T).
    pub(super) source: &'a [TokenId],
}

/// The outcome of a choice; [`crate::trace::Choice`] documents the figures.
#[derive(Debug, PartialEq)]
pub(super) struct Picked {
    pub(super) token: TokenId,
    pub(super) allowed: usize,
    pub(super) probability: f32,
    pub(super) margin: f32,
    pub(super) unmasked: Option<Unmasked>,
    pub(super) evidence: Option<usize>,
    /// The second-best allowed token.
    pub(super) second: Option<Second>,
}

/// A token that was nearly chosen, with the same figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Second {
    pub(super) token: TokenId,
    pub(super) probability: f32,
    pub(super) unmasked: Option<Unmasked>,
}

/// Factors on the odds of tokens, from what the network does not know; of several for one token the largest counts.
pub(super) type Odds = [(TokenId, f64)];

/// Up to this many tokens can be spellings of one text; more are not looked at.
const MOST_SPELLINGS: usize = 8;

/// The token to take without asking the model where the allowed ones spell the beginning of one text, such as
/// `"`, `":` and `":"` before a string: the longest, which is what tokenisers write and models are trained on.
///
/// None where the longest closes something, as `[]` does: then the others lead elsewhere.
pub(super) fn only_spelling<'a>(allowed: &TokenMask, bytes: impl Fn(TokenId) -> &'a [u8]) -> Option<TokenId> {
    if allowed.len() > MOST_SPELLINGS {
        return None;
    }
    let mut tokens: Vec<TokenId> = allowed.iter().collect();
    tokens.sort_by_key(|&token| bytes(token).len());
    let longest = *tokens.last()?;
    let is_one_text = tokens.windows(2).all(|pair| bytes(pair[1]).starts_with(bytes(pair[0])));
    let closes =
        bytes(longest).ends_with(b"]") || bytes(longest).ends_with(b"}") || bytes(longest).ends_with(b"\"\"");
    (is_one_text && !closes).then_some(longest)
}

/// The best of a few tokens, from their logits alone. `None` for no tokens.
pub(super) fn among(tokens: &[TokenId], logits: &[f32], odds: &Odds) -> Option<Picked> {
    let masses = tokens.iter().copied().zip(softmax(logits).into_iter().map(f64::from));
    best(masses, odds).map(|(picked, _)| picked)
}

/// The best allowed token, from the logits of the whole vocabulary, (V), and the pointer if there is one:
/// `p(v) = (1-g)·softmax(logits)(v) + g·Σ_j w_j·[token_j = v]`. `None` if nothing is allowed.
pub(super) fn among_all(
    allowed: &[TokenId],
    logits: &[f32],
    copy: Option<&Copy<'_>>,
    odds: &Odds,
) -> Option<Picked> {
    let mut mass = softmax(logits);
    if let Some(copy) = copy {
        mass *= 1.0 - copy.gate;
        for (token, weight) in copy.source.iter().zip(copy.weights) {
            if let Some(p) = mass.get_mut(token.0 as usize) {
                *p += copy.gate * weight;
            }
        }
    }
    let mass = mass.as_slice().unwrap_or_default();
    let of = |token: TokenId| mass.get(token.0 as usize).copied().map_or(0.0, f64::from);
    let (mut picked, allowed_mass) = best(allowed.iter().map(|&token| (token, of(token))), odds)?;
    if allowed_mass <= 0.0 {
        // All allowed tokens underflow beside the rest: compare them among themselves.
        let logit = |token: &TokenId| logits.get(token.0 as usize).copied().unwrap_or(f32::NEG_INFINITY);
        picked = among(allowed, &allowed.iter().map(logit).collect::<Vec<_>>(), odds)?;
    }
    let unmasked = |token| {
        Some(Unmasked { probability: narrow(of(token)), allowed_mass: narrow(allowed_mass.min(1.0)) })
    };
    picked.unmasked = unmasked(picked.token);
    if let Some(second) = &mut picked.second {
        second.unmasked = unmasked(second.token);
    }
    picked.evidence = copy.and_then(|copy| peak(copy.weights));
    Some(picked)
}

/// The best of a few tokens, from their masses times their odds; and the sum of the masses alone.
fn best(masses: impl Iterator<Item = (TokenId, f64)>, odds: &Odds) -> Option<(Picked, f64)> {
    let factor = |token: TokenId| {
        odds.iter().filter(|(other, _)| *other == token).map(|(_, factor)| *factor).reduce(f64::max)
    };
    let (mut first, mut second) = (None::<(TokenId, f64)>, None::<(TokenId, f64)>);
    let (mut total, mut sum, mut allowed) = (0.0, 0.0, 0);
    for (token, mass) in masses {
        // NaN, from a broken checkpoint, must not win or spread.
        let mass = if mass.is_finite() { mass } else { 0.0 };
        sum += mass;
        let mass = if odds.is_empty() { mass } else { mass * factor(token).unwrap_or(1.0) };
        total += mass;
        allowed += 1;
        // Strictly greater: of equals the first (smallest) id wins on every machine.
        if first.is_none_or(|(_, top)| mass > top) {
            (second, first) = (first, Some((token, mass)));
        } else if second.is_none_or(|(_, next)| mass > next) {
            second = Some((token, mass));
        }
    }
    let (token, mass) = first?;
    let share = |mass: f64| if total > 0.0 { mass / total } else { 0.0 };
    let picked = Picked {
        token,
        allowed,
        probability: narrow(share(mass)),
        margin: narrow(share(mass) - second.map_or(0.0, |(_, next)| share(next))),
        unmasked: None,
        evidence: None,
        second: second.map(|(token, mass)| Second {
            token,
            probability: narrow(share(mass)),
            unmasked: None,
        }),
    };
    Some((picked, sum))
}

/// Index of the largest weight, the first of equals.
fn peak(weights: &[f32]) -> Option<usize> {
    let mut found = None;
    let mut top = f32::NEG_INFINITY;
    for (index, &weight) in weights.iter().enumerate() {
        if weight > top {
            (found, top) = (Some(index), weight);
        }
    }
    found
}

fn softmax(logits: &[f32]) -> Array1<f32> {
    let mut mass = aview1(logits).to_owned();
    kernels::softmax(&mut mass, 1.0);
    mass
}

#[allow(clippy::cast_possible_truncation, reason = "rounding a probability to f32 is intended")]
fn narrow(probability: f64) -> f32 {
    probability as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(list: &[u32]) -> Vec<TokenId> {
        list.iter().copied().map(TokenId).collect()
    }

    #[test]
    fn few_rows_and_all_rows_choose_alike() {
        // exp = 1, 2, 4, 8 of 15 in all.
        let logits: Vec<f32> = [1.0_f32, 2.0, 4.0, 8.0].iter().map(|x| x.ln()).collect();
        let few = among(&ids(&[0, 2]), &[logits[0], logits[2]], &[]).unwrap();
        let all = among_all(&ids(&[0, 2]), &logits, None, &[]).unwrap();
        assert_eq!((few.token, few.allowed), (TokenId(2), 2));
        assert!((few.probability - 0.8).abs() < 1e-6 && (few.margin - 0.6).abs() < 1e-6);
        let (second, of_all) = (few.second.unwrap(), all.second.unwrap());
        assert_eq!((second.token, of_all.token), (TokenId(0), TokenId(0)));
        assert!((second.probability - 0.2).abs() < 1e-6 && second.unmasked.is_none());
        assert!((of_all.unmasked.unwrap().probability - 1.0 / 15.0).abs() < 1e-6);
        assert!((all.probability - 0.8).abs() < 1e-6 && (all.margin - 0.6).abs() < 1e-6);
        let unmasked = all.unmasked.unwrap();
        assert!((unmasked.probability - 4.0 / 15.0).abs() < 1e-6);
        assert!((unmasked.allowed_mass - 5.0 / 15.0).abs() < 1e-6);
    }

    #[test]
    fn the_pointer_adds_its_mass() {
        let copy = Copy { gate: 0.5, weights: &[0.25, 0.75], source: &ids(&[3, 1]) };
        let picked = among_all(&ids(&[0, 1, 2, 3]), &[0.0; 4], Some(&copy), &[]).unwrap();
        // Token 1: 0.5 / 4 + 0.5 * 0.75 = 0.5; next is 3: 0.125 + 0.125.
        assert_eq!((picked.token, picked.evidence), (TokenId(1), Some(1)));
        assert!((picked.probability - 0.5).abs() < 1e-6 && (picked.margin - 0.25).abs() < 1e-6);
    }

    #[test]
    fn odds_weigh_beside_the_network() {
        let odds = [(TokenId(1), 2.0), (TokenId(1), 6.0), (TokenId(3), 9.0)];
        let picked = among_all(&ids(&[0, 1]), &[2.0_f32.ln(), 0.0, 0.0, 0.0], None, &odds).unwrap();
        // 2 to 1 from the network, times 1 to 6; the network's own figures stay as they are.
        assert_eq!(picked.token, TokenId(1));
        assert!((picked.probability - 0.75).abs() < 1e-6 && (picked.margin - 0.5).abs() < 1e-6);
        assert!((picked.unmasked.unwrap().probability - 0.2).abs() < 1e-6);
    }

    #[test]
    fn extremes_stay_finite() {
        let underflow = among_all(&ids(&[1, 2]), &[3000.0, 1.0, 2.0], None, &[]).unwrap();
        assert_eq!(underflow.token, TokenId(2));
        assert!(underflow.probability > 0.7 && underflow.unmasked.unwrap().allowed_mass == 0.0);
        let broken = among_all(&ids(&[0, 1]), &[f32::NAN, f32::NAN], None, &[]).unwrap();
        assert_eq!((broken.token, broken.probability), (TokenId(0), 0.0));
        assert_eq!(among(&[], &[], &[]), None);
        let tie = among(&ids(&[4, 5]), &[1.0, 1.0], &[]).unwrap();
        assert_eq!((tie.token, tie.margin), (TokenId(4), 0.0));
    }
}
