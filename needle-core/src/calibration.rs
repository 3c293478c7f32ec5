//! From features of an answer to the probability that it is right: a logistic model, fitted on held-out rows
//! and kept in the model's `calibration.json`.
//!
//! The fit is Newton's method on the L2-penalised log-likelihood of standardised features (Hastie, Tibshirani
//! and Friedman, *The Elements of Statistical Learning*, 4.4.1); it is convex, so the result depends on nothing
//! but the rows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Number of features.
pub const FEATURE_COUNT: usize = 14;

/// Names of the features in their order; [`crate::confidence`] documents and computes them.
pub const FEATURE_NAMES: [&str; FEATURE_COUNT] = [
    "refusal",
    "min_log_probability",
    "mean_log_probability",
    "max_removed_mass",
    "opening_log_odds",
    "opening_surprise",
    "name_surprise",
    "argument_surprise",
    "retrieval_margin",
    "ungrounded_arguments",
    "log_calls",
    "surprise",
    "refused_similarity",
    "unexplained_words",
];

/// The features of one answer, in the order of [`FEATURE_NAMES`]; all finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Features(pub [f64; FEATURE_COUNT]);

impl Features {
    /// Whether the answer was `[]`.
    pub fn is_refusal(&self) -> bool {
        self.0[0] > 0.5
    }
}

/// The version of the file format that this library writes and reads.
const VERSION: u32 = 1;
/// Strength of the L2 penalty, in units of one row's log-likelihood.
const PENALTY: f64 = 1.0;
/// Newton's method gains digits quadratically; a convex penalised problem is done far earlier.
const MAX_STEPS: usize = 100;
/// Bins of the reliability table, of equal width.
const BINS: usize = 10;
/// Fewest rows that a fit accepts.
const MIN_ROWS: usize = 20;

/// One bin of the reliability table: what was promised and what was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReliabilityBin {
    /// Lower edge of the confidence, included.
    pub low: f64,
    /// Upper edge, excluded except for 1.
    pub high: f64,
    /// Rows in this bin.
    pub count: usize,
    /// Their mean confidence; 0 for an empty bin.
    pub mean_confidence: f64,
    /// The share of them that was right; 0 for an empty bin.
    pub accuracy: f64,
}

/// A fitted logistic model with its reliability figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Version of the format.
    pub version: u32,
    /// Names of the features, in the order of the numbers below.
    pub features: Vec<String>,
    /// Subtracted from each feature.
    pub mean: Vec<f64>,
    /// Divides each feature after that.
    pub scale: Vec<f64>,
    /// Weight of each standardised feature.
    pub coefficients: Vec<f64>,
    /// Constant term.
    pub intercept: f64,
    /// Confidence from which a call is taken, unless the caller says otherwise.
    pub threshold: f64,
    /// Rows that it was fitted on.
    pub rows: usize,
    /// Reliability table on those rows.
    pub reliability: Vec<ReliabilityBin>,
    /// Expected calibration error on those rows: mean |confidence − accuracy| over bins, weighted by rows.
    pub ece: f64,
}

impl Calibration {
    /// Reads the value of a `calibration.json`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] names the key, if it is of another version, for other features, or not finite.
    pub fn from_json(value: &serde_json::Value) -> Result<Self> {
        let wrong = |problem: String| Error::Checkpoint {
            origin: "calibration.json".into(),
            problem: format!("{problem}; make it anew with `needle calibrate`"),
        };
        let found: Self = serde::Deserialize::deserialize(value).map_err(|error| wrong(error.to_string()))?;
        if found.version != VERSION {
            return Err(wrong(format!("version is {}, this library reads {VERSION}", found.version)));
        }
        if found.features != FEATURE_NAMES {
            return Err(wrong("features are not those of this library".into()));
        }
        for (key, list) in
            [("mean", &found.mean), ("scale", &found.scale), ("coefficients", &found.coefficients)]
        {
            if list.len() != FEATURE_COUNT || list.iter().any(|number| !number.is_finite()) {
                return Err(wrong(format!("{key} must be {FEATURE_COUNT} finite numbers")));
            }
        }
        if found.scale.iter().any(|&scale| scale <= 0.0) {
            return Err(wrong("scale must be positive".into()));
        }
        if !found.intercept.is_finite() || !(0.0..=1.0).contains(&found.threshold) {
            return Err(wrong("intercept must be finite and threshold within 0 to 1".into()));
        }
        Ok(found)
    }

    /// Fits a model to answers that are known to be right or wrong, and picks the smallest threshold at which
    /// calls (not refusals) are right in a share of `target_precision` of the cases; 1 if there is none.
    ///
    /// # Errors
    /// [`Error::Option`] for fewer than 20 rows, a feature that is not finite, or a target outside 0 to 1.
    pub fn fit(rows: &[(Features, bool)], target_precision: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&target_precision) {
            return Err(Error::Option {
                name: "target_precision",
                problem: format!("is {target_precision}; must be within 0 to 1"),
            });
        }
        if rows.len() < MIN_ROWS || rows.iter().any(|(f, _)| f.0.iter().any(|x| !x.is_finite())) {
            return Err(Error::Option {
                name: "rows",
                problem: format!(
                    "there are {} labelled answers; at least {MIN_ROWS}, all finite, are needed",
                    rows.len()
                ),
            });
        }
        let (mean, scale) = standardisation(rows);
        let mut model = Self {
            version: VERSION,
            features: FEATURE_NAMES.map(String::from).to_vec(),
            mean,
            scale,
            coefficients: vec![0.0; FEATURE_COUNT],
            intercept: 0.0,
            threshold: 0.0,
            rows: rows.len(),
            reliability: Vec::new(),
            ece: 0.0,
        };
        model.newton(rows);
        model.threshold = model.threshold_for(rows, target_precision);
        (model.reliability, model.ece) = model.assess(rows);
        Ok(model)
    }

    /// The probability that an answer with these features is right, within 0 to 1.
    pub fn probability(&self, features: &Features) -> f64 {
        sigmoid(
            self.intercept
                + self.standardised(features).zip(&self.coefficients).map(|(x, w)| x * w).sum::<f64>(),
        )
    }

    /// The reliability table and expected calibration error (Naeini et al., 2015) on given rows.
    pub fn assess(&self, rows: &[(Features, bool)]) -> (Vec<ReliabilityBin>, f64) {
        let mut bins: Vec<ReliabilityBin> = (0..BINS)
            .map(|i| ReliabilityBin {
                low: i as f64 / BINS as f64,
                high: (i + 1) as f64 / BINS as f64,
                count: 0,
                mean_confidence: 0.0,
                accuracy: 0.0,
            })
            .collect();
        for (features, right) in rows {
            let confidence = self.probability(features);
            // The last bin also takes 1; a bin's lower edge decides for all others.
            let index = bins.iter().rposition(|bin| confidence >= bin.low).unwrap_or(0);
            let bin = &mut bins[index];
            bin.count += 1;
            bin.mean_confidence += confidence;
            bin.accuracy += f64::from(u8::from(*right));
        }
        let mut error = 0.0;
        for bin in bins.iter_mut().filter(|bin| bin.count > 0) {
            error += (bin.mean_confidence - bin.accuracy).abs();
            bin.mean_confidence /= bin.count as f64;
            bin.accuracy /= bin.count as f64;
        }
        (bins, error / rows.len().max(1) as f64)
    }

    fn standardised<'a>(&'a self, features: &'a Features) -> impl Iterator<Item = f64> + 'a {
        features.0.iter().zip(&self.mean).zip(&self.scale).map(|((x, mean), scale)| (x - mean) / scale)
    }

    /// Newton's steps until the largest change is below 1e-10.
    fn newton(&mut self, rows: &[(Features, bool)]) {
        const N: usize = FEATURE_COUNT + 1;
        let inputs: Vec<[f64; N]> = rows
            .iter()
            .map(|(features, _)| {
                let mut input = [1.0; N];
                for (slot, x) in input[1..].iter_mut().zip(self.standardised(features)) {
                    *slot = x;
                }
                input
            })
            .collect();
        let mut weights = [0.0; N];
        for _ in 0..MAX_STEPS {
            let mut hessian = [[0.0; N]; N];
            let mut gradient = [0.0; N];
            for i in 1..N {
                // The intercept is not penalised: it carries the base rate.
                hessian[i][i] = PENALTY;
                gradient[i] = -PENALTY * weights[i];
            }
            // Rows that are all right or all wrong would drive a free intercept to infinity.
            hessian[0][0] = 1e-3;
            gradient[0] = -1e-3 * weights[0];
            for (input, (_, right)) in inputs.iter().zip(rows) {
                let p = sigmoid(dot(input, &weights));
                let residual = f64::from(u8::from(*right)) - p;
                for i in 0..N {
                    gradient[i] += residual * input[i];
                    for j in 0..N {
                        hessian[i][j] += p * (1.0 - p) * input[i] * input[j];
                    }
                }
            }
            let step = solve(hessian, gradient);
            // A full step may overshoot where the data separate; a bounded one still converges.
            let length = step.iter().fold(0.0_f64, |largest, s| largest.max(s.abs()));
            let shrink = if length > 1.0 { length.recip() } else { 1.0 };
            for (weight, s) in weights.iter_mut().zip(step) {
                *weight += s * shrink;
            }
            if length < 1e-10 {
                break;
            }
        }
        self.intercept = weights[0];
        self.coefficients.copy_from_slice(&weights[1..]);
    }

    fn threshold_for(&self, rows: &[(Features, bool)], target: f64) -> f64 {
        let mut calls: Vec<(f64, bool)> = rows
            .iter()
            .filter(|(features, _)| !features.is_refusal())
            .map(|(features, right)| (self.probability(features), *right))
            .collect();
        calls.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut threshold = 1.0;
        let mut right = 0_usize;
        for (taken, (confidence, correct)) in calls.iter().enumerate() {
            right += usize::from(*correct);
            // Rows of equal confidence are taken or left together.
            let closes = calls.get(taken + 1).is_none_or(|next| next.0 < *confidence);
            if closes && right as f64 >= target * (taken + 1) as f64 {
                threshold = *confidence;
            }
        }
        threshold
    }
}

/// Mean and standard deviation of each feature; a constant feature gets scale 1.
fn standardisation(rows: &[(Features, bool)]) -> (Vec<f64>, Vec<f64>) {
    let count = rows.len() as f64;
    let mean: Vec<f64> =
        (0..FEATURE_COUNT).map(|i| rows.iter().map(|(f, _)| f.0[i]).sum::<f64>() / count).collect();
    let scale = (0..FEATURE_COUNT)
        .map(|i| {
            let variance = rows.iter().map(|(f, _)| (f.0[i] - mean[i]).powi(2)).sum::<f64>() / count;
            if variance > 1e-12 { variance.sqrt() } else { 1.0 }
        })
        .collect();
    (mean, scale)
}

fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 { (1.0 + (-x).exp()).recip() } else { x.exp() / (1.0 + x.exp()) }
}

fn dot<const N: usize>(a: &[f64; N], b: &[f64; N]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Solves `a x = b` for a symmetric positive definite `a` by Cholesky's decomposition.
fn solve<const N: usize>(a: [[f64; N]; N], b: [f64; N]) -> [f64; N] {
    let mut lower = [[0.0; N]; N];
    for i in 0..N {
        for j in 0..=i {
            let rest = a[i][j] - (0..j).map(|k| lower[i][k] * lower[j][k]).sum::<f64>();
            // The penalty on the diagonal keeps the root real; the floor only guards rounding.
            lower[i][j] = if i == j { rest.max(1e-12).sqrt() } else { rest / lower[j][j] };
        }
    }
    let mut x = b;
    for i in 0..N {
        x[i] = (x[i] - (0..i).map(|k| lower[i][k] * x[k]).sum::<f64>()) / lower[i][i];
    }
    for i in (0..N).rev() {
        x[i] = (x[i] - (i + 1..N).map(|k| lower[k][i] * x[k]).sum::<f64>()) / lower[i][i];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 400 answers whose chance of being right is `sigmoid(2 * min_log_probability + 3)`.
    fn rows() -> Vec<(Features, bool)> {
        let mut state = 1_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / (1_u64 << 24) as f64
        };
        (0..400)
            .map(|_| {
                let mut features = [0.0; FEATURE_COUNT];
                features[1] = -4.0 * uniform();
                let right = uniform() < sigmoid(2.0 * features[1] + 3.0);
                (Features(features), right)
            })
            .collect()
    }

    #[test]
    fn finds_the_model_behind_the_rows() {
        let fitted = Calibration::fit(&rows(), 0.9).unwrap();
        assert_eq!(fitted, Calibration::fit(&rows(), 0.9).unwrap());
        assert!((fitted.coefficients[1] / fitted.scale[1] - 2.0).abs() < 0.5, "{fitted:?}");
        assert!(fitted.ece < 0.06, "{}", fitted.ece);
        let taken: Vec<_> =
            rows().into_iter().filter(|(f, _)| fitted.probability(f) >= fitted.threshold).collect();
        let right = taken.iter().filter(|(_, right)| *right).count();
        assert!(!taken.is_empty() && right as f64 >= 0.9 * taken.len() as f64);
    }

    #[test]
    fn json_round_trip_is_exact_and_foreign_files_are_refused() {
        let fitted = Calibration::fit(&rows(), 0.9).unwrap();
        let mut json = serde_json::to_value(&fitted).unwrap();
        assert_eq!(Calibration::from_json(&json).unwrap(), fitted);
        json["features"][0] = "other".into();
        let error = Calibration::from_json(&json).unwrap_err().to_string();
        assert_eq!(
            error,
            "checkpoint calibration.json: features are not those of this library; make it anew with `needle calibrate`"
        );
    }

    #[test]
    fn one_sided_and_short_data_stay_finite_or_are_refused() {
        let all_right: Vec<_> = rows().into_iter().map(|(f, _)| (f, true)).collect();
        let fitted = Calibration::fit(&all_right, 1.0).unwrap();
        assert!(fitted.intercept.is_finite() && fitted.probability(&all_right[0].0) > 0.9);
        let all_wrong: Vec<_> = rows().into_iter().map(|(f, _)| (f, false)).collect();
        assert!((Calibration::fit(&all_wrong, 0.5).unwrap().threshold - 1.0).abs() < f64::EPSILON);
        assert!(Calibration::fit(&all_right[..5], 0.5).is_err());
    }
}
