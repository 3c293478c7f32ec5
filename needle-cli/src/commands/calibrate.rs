//! `needle calibrate`: fits a bundle's confidence to labelled rows.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use needle_core::Options;
use needle_core::calibration::{Calibration, Features};

use super::judge::judge;
use crate::model::ModelOption;
use crate::{Outcome, files, tools};

/// Fit the confidence to labelled rows, so that 0.9 means right in nine of ten cases.
#[derive(Args)]
#[command(
    after_help = "Use rows like those that the model will see, and not the ones that it was trained on.

Example:
  needle calibrate --model my-bundle --data mine.jsonl --output my-bundle/calibration.json"
)]
pub(crate) struct Calibrate {
    /// Files of labelled rows, as for `needle eval`
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    data: Vec<PathBuf>,
    /// Where to write the calibration: `calibration.json` of a bundle
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// File or JSON text of the tools, for rows that have none
    #[arg(long, value_name = "FILE|JSON")]
    tools: Option<String>,
    /// Share of calls that must be right at the threshold that is chosen
    #[arg(long, value_name = "SHARE", default_value_t = 0.95)]
    target_precision: f64,
    #[command(flatten)]
    model: ModelOption,
}

impl Calibrate {
    pub(crate) fn run(&self) -> Outcome {
        let tools = self.tools.as_deref().map(tools::text).transpose()?;
        let model = self.model.load_uncalibrated()?;
        let rated = judge(&self.data, None, tools.as_deref(), &model, Options::default())?;
        let rows: Vec<(Features, bool)> =
            rated.into_iter().filter_map(|(judged, features)| Some((features?, judged.is_right))).collect();
        let calibration = Calibration::fit(&rows, self.target_precision)?;
        files::write(&self.output, |out| {
            serde_json::to_writer_pretty(&mut *out, &calibration)?;
            writeln!(out)?;
            Ok(())
        })?;
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "{} rows, expected calibration error {:.3}; calls are taken from a confidence of {:.3}",
            calibration.rows, calibration.ece, calibration.threshold
        )?;
        for bin in calibration.reliability.iter().filter(|bin| bin.count > 0) {
            let (count, mean, right) = (bin.count, bin.mean_confidence, bin.accuracy);
            writeln!(
                out,
                "{:.1} to {:.1}: {count:>5} rows, confidence {mean:.3}, right {right:.3}",
                bin.low, bin.high
            )?;
        }
        Ok(())
    }
}
