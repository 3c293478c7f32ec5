//! Softmax over one row of scores.

use ndarray::ArrayRef1;

/// Replaces scores (S) by `exp(scale · (s - max)) / Σ`, which sums to 1; an empty row stays empty.
///
/// Subtracting the maximum first keeps every exponent at or below 0, so nothing overflows. `scale` must be
/// positive: the largest score is then the largest exponent as well.
pub fn softmax(scores: &mut ArrayRef1<f32>, scale: f32) {
    let max = scores.fold(f32::NEG_INFINITY, |max, &score| max.max(score));
    scores.mapv_inplace(|score| ((score - max) * scale).exp());
    let inverse = 1.0 / scores.sum();
    scores.mapv_inplace(|score| score * inverse);
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::arr1;

    #[test]
    fn large_scores_do_not_overflow() {
        let mut scores = arr1(&[1000.0, 1000.0 + 2.0_f32.ln(), -1000.0]);
        softmax(&mut scores, 1.0);
        for (found, expected) in scores.iter().zip([1.0 / 3.0, 2.0 / 3.0, 0.0]) {
            assert!((found - expected).abs() < 1e-4, "{scores}");
        }
    }
}
