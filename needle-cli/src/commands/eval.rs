//! `needle eval`: figures over labelled rows.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use needle_core::Confidence;
use needle_core::eval::{Judged, Report};

use super::judge::judge;
use super::run::DecisionOptions;
use crate::model::ModelOption;
use crate::{Outcome, draw, tools};

/// Measure a model on labelled rows.
#[derive(Args)]
#[command(after_help = "Rows are JSON objects, one per line (.gz is unpacked):
  {\"query\": …, \"tools\": […], \"answers\": [{\"name\": …, \"arguments\": {…}}]}
`answers` is empty where no tool fits. `accept` ({\"tool.argument\": [further values]}) and `possible_answer`
(as in the Berkeley Function-Calling Leaderboard) widen what counts as right. Rows with a `suite`, such as an
app's name, are also counted by it.

Example:
  needle eval --data tests/dev/dev_phrasings.jsonl.gz --worst 5")]
pub(crate) struct Eval {
    /// Files of labelled rows
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    data: Vec<PathBuf>,
    /// File or JSON text of the tools, for rows that have none
    #[arg(long, value_name = "FILE|JSON")]
    tools: Option<String>,
    /// Read only the first rows of each file
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// How many of the wrong answers to print, the most confident first
    #[arg(long, value_name = "N", default_value_t = 5)]
    worst: usize,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelOption,
    #[command(flatten)]
    options: DecisionOptions,
}

impl Eval {
    pub(crate) fn run(&self) -> Outcome {
        let tools = self.tools.as_deref().map(tools::text).transpose()?;
        let rated =
            judge(&self.data, self.limit, tools.as_deref(), &self.model.load()?, self.options.options()?)?;
        let rows: Vec<Judged> = rated.into_iter().map(|(judged, _)| judged).collect();
        let report = Report::new(&rows);
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
            return Ok(());
        }
        writeln!(out, "{}", figures(&report))?;
        let latencies: Vec<f64> = rows.iter().map(|row| row.decision.timings().total_ms).collect();
        writeln!(out, "\n{}", draw::latencies(&latencies))?;
        if report.ece.is_some() {
            writeln!(out, "\n{}", draw::reliability(&report.reliability))?;
        }
        let mut wrong: Vec<&Judged> = rows.iter().filter(|row| !row.is_right).collect();
        let confidence = |row: &Judged| row.decision.confidence().map_or(0.0, Confidence::get);
        wrong.sort_by(|a, b| confidence(b).total_cmp(&confidence(a)));
        for row in wrong.into_iter().take(self.worst) {
            writeln!(out, "\n{} ({:.2}): {}", row.id, confidence(row), row.query)?;
            writeln!(out, "  wrote  {}", serde_json::to_string(&row.calls)?)?;
            writeln!(out, "  wanted {}", wanted(row))?;
        }
        Ok(())
    }
}

fn wanted(row: &Judged) -> String {
    let calls: Vec<String> = row.expected.iter().map(ToString::to_string).collect();
    if calls.is_empty() { "no call".into() } else { calls.join(", ") }
}

fn figures(report: &Report) -> String {
    let percent = |share: Option<f64>| share.map_or("–".into(), |share| format!("{:.1} %", 100.0 * share));
    let ms = |time: Option<f64>| time.map_or("–".into(), |time| format!("{time:.1} ms"));
    let lines = [
        ("rows", report.rows.to_string()),
        ("exact match", percent(report.exact)),
        ("  of rows with a call", percent(report.call_accuracy)),
        ("  of refusals", percent(report.refusal_accuracy)),
        ("tool-name F1", percent(report.name_f1)),
        ("call F1", percent(report.call_f1)),
        ("argument accuracy", percent(report.argument_accuracy)),
        ("whole JSON", percent(report.parse_rate)),
        ("schema-valid calls", percent(report.schema_valid_rate)),
        ("decided as calls", percent(report.coverage)),
        ("  of these right", percent(report.precision)),
        ("calibration error", percent(report.ece)),
        ("latency p50", ms(report.latency_p50_ms)),
        ("latency p95", ms(report.latency_p95_ms)),
    ];
    let mut text: Vec<String> = lines.iter().map(|(name, value)| format!("{name:<24}{value:>10}")).collect();
    text.extend(report.arguments.iter().map(|(kind, share)| {
        let name = format!("argument: {}, {}", kind.name(), share.count);
        format!("{name:<24}{:>10}", percent(Some(share.accuracy)))
    }));
    text.extend(report.suites.iter().map(|(suite, share)| {
        let name = format!("suite: {suite}, {}", share.count);
        format!("{name:<24}{:>10}", percent(Some(share.accuracy)))
    }));
    text.extend(report.handoffs.iter().map(|(reason, count)| format!("handed off: {reason:<20}{count:>8}")));
    text.join("\n")
}
