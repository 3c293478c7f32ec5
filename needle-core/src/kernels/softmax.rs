//! Softmax over one row of scores.

use ndarray::ArrayRef1;

use super::dense::{LANES, halved};
use super::wide::wide;
use super::with_slice;

/// Replaces scores (S) by `exp(scale · (s - max)) / Σ`, which sums to 1; an empty row stays empty.
///
/// Subtracting the maximum first keeps every exponent at or below 0, so nothing overflows. `scale` must be
/// positive: the largest score is then the largest exponent as well.
pub fn softmax(scores: &mut ArrayRef1<f32>, scale: f32) {
    with_slice(scores, |scores| {
        let inverse = 1.0 / exponentiate(scores, scale);
        for score in scores {
            *score *= inverse;
        }
    });
}

wide! {
    /// Replaces scores by `exp(scale · (s - max))` and returns their sum: a softmax that is not divided by it yet.
    pub(crate) fn exponentiate(scores: &mut [f32], scale: f32) -> f32 {
        // What the whole blocks leave is in the last one, which overlaps them: its first places are counted already.
        let Some(last) = scores.last_chunk::<LANES>().copied() else {
            return exponentiate_few(scores, scale);
        };
        let counted = LANES - scores.len() % LANES;
        let mut largest = last;
        // Not `f32::max`, which takes several instructions to treat NaN. By pairs, or the compiler takes two lanes at a time.
        let larger = |a: f32, b: f32| if a > b { a } else { b };
        let (pairs, odd) = scores.as_chunks::<LANES>().0.as_chunks::<2>();
        for [first, second] in pairs {
            for (largest, (a, b)) in largest.iter_mut().zip(first.iter().zip(second)) {
                *largest = larger(larger(*a, *b), *largest);
            }
        }
        for block in odd {
            for (largest, score) in largest.iter_mut().zip(block) {
                *largest = larger(*score, *largest);
            }
        }
        let max = halved(largest, larger);
        let mut sums = [0.0; LANES];
        for block in scores.as_chunks_mut::<LANES>().0 {
            for (sum, score) in sums.iter_mut().zip(block) {
                *score = exp((*score - max) * scale);
                *sum += *score;
            }
        }
        if let Some(block) = scores.last_chunk_mut::<LANES>() {
            for (lane, ((sum, score), last)) in sums.iter_mut().zip(block).zip(last).enumerate() {
                *score = exp((last - max) * scale);
                *sum += if lane < counted { 0.0 } else { *score };
            }
        }
        halved(sums, |a, b| a + b)
    }
}

/// The same for a row that is shorter than a block.
#[inline(always)]
fn exponentiate_few(scores: &mut [f32], scale: f32) -> f32 {
    let max = scores.iter().fold(f32::NEG_INFINITY, |max, &score| max.max(score));
    let mut sum = 0.0;
    for score in scores {
        *score = exp((*score - max) * scale);
        sum += *score;
    }
    sum
}

/// `e^x` for x ≤ 0 within two units in the last place; 0 below -87, where f32 leaves its normal range.
///
/// `e^x = 2^n · e^r` with n the integer nearest to `x / ln 2` and r the rest, at most ln 2 / 2, whose exponential is
/// its Taylor polynomial of degree 6. ln 2 is split in two so that r keeps all its bits (Cody and Waite 1980).
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Added to a small number, it leaves the nearest integer in the lowest bits.
    const SHIFT: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let shifted = (if x < -88.0 { -88.0 } else { x }).mul_add(std::f32::consts::LOG2_E, SHIFT);
    let n = shifted - SHIFT;
    let r = n.mul_add(-LN_2_LOW, n.mul_add(-LN_2_HIGH, x));
    let mut e: f32 = 1.0 / 720.0;
    for coefficient in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        e = e.mul_add(r, coefficient);
    }
    // The lowest bits of `shifted` are n: moved to the exponent of `e`, they multiply by 2^n. Those of a NaN that comes of
    // arithmetic are 0, so that it stays one.
    let scaled = f32::from_bits(e.to_bits().wrapping_add(shifted.to_bits() << 23));
    if x < -87.0 { 0.0 } else { scaled }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array1, arr1, s};
    use proptest::prelude::*;

    #[test]
    fn large_scores_do_not_overflow() {
        let mut scores = arr1(&[1000.0, 1000.0 + 2.0_f32.ln(), -1000.0]);
        softmax(&mut scores, 1.0);
        for (found, expected) in scores.iter().zip([1.0 / 3.0, 2.0 / 3.0, 0.0]) {
            assert!((found - expected).abs() < 1e-4, "{scores}");
        }
    }

    #[test]
    fn a_large_score_is_found_wherever_it_is() {
        for length in [LANES, LANES + 1, 2 * LANES, 3 * LANES, 4 * LANES + 5] {
            for place in 0..length {
                let mut scores = Array1::zeros(length);
                scores[place] = 1000.0;
                softmax(&mut scores, 1.0);
                let is_right = |(i, weight): (usize, &f32)| (weight - f32::from(i == place)).abs() < 1e-6;
                assert!(scores.iter().enumerate().all(is_right), "{scores}");
            }
        }
    }

    proptest! {
        #[test]
        fn exponentials_are_right_to_two_units_in_the_last_place(x in -87.0_f32..=0.0) {
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            prop_assert!(error < 2.4e-7, "{x} {error}");
        }

        #[test]
        fn rows_of_any_length_and_stride_are_the_softmax(row in prop::collection::vec(-30.0_f32..30.0, 1..70)) {
            let total: f64 = row.iter().map(|&x| f64::from(x / 8.0).exp()).sum();
            let expected: Vec<f64> = row.iter().map(|&x| f64::from(x / 8.0).exp() / total).collect();
            let mut contiguous = Array1::from(row.clone());
            softmax(&mut contiguous, 0.125);
            let mut spaced = Array1::zeros(3 * row.len());
            spaced.slice_mut(s![..;3]).assign(&Array1::from(row));
            softmax(&mut spaced.slice_mut(s![..;3]), 0.125);
            for (found, expected) in contiguous.iter().zip(&expected) {
                prop_assert!((f64::from(*found) - expected).abs() < 1e-6);
            }
            prop_assert_eq!(spaced.slice(s![..;3]), contiguous);
        }
    }

    #[test]
    fn what_is_no_number_spreads() {
        let mut scores = arr1(&[1.0, f32::NAN, 0.0]);
        softmax(&mut scores, 1.0);
        assert!(scores.iter().all(|weight| weight.is_nan()), "{scores}");
    }

    #[test]
    fn far_below_the_maximum_is_zero() {
        for x in [-87.5, -1e30, f32::NEG_INFINITY] {
            assert_eq!(exp(x).to_bits(), 0);
        }
    }
}
