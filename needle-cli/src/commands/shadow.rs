//! `needle shadow`: what would have been answered locally of requests that a large model has answered.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use needle_core::eval::{Pair, Point, ToolAgreement, agreement_by_tool, agreement_curve, threshold_for};
use needle_core::{Api, Decision, Hooks, Policy, Router, ToolCall};
use serde::Serialize;
use serde_json::{Map, Value};

use super::progress;
use crate::model::ModelOption;
use crate::{Outcome, draw, files};

/// Compare local decisions with a large model's answers: agreement, savings, and the threshold to choose.
#[derive(Args)]
#[command(
    after_help = "A line of the log is {\"request\": …, \"response\": …}: bodies of OpenAI's chat completions or
responses, or of Anthropic's messages. Nothing is sent anywhere.

Example:
  needle shadow --log requests.jsonl --agreement 0.98 --svg curve.svg"
)]
pub(crate) struct Shadow {
    /// Log of requests and answers, one JSON object per line; .gz is unpacked
    #[arg(long, value_name = "FILE")]
    log: PathBuf,
    /// Share of local answers that must be the large model's; the threshold that reaches it is reported
    #[arg(long, value_name = "SHARE", default_value_t = 0.97)]
    agreement: f64,
    /// What may be answered locally: file of JSON; thresholds in it are not used
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Draw the curve of agreement against coverage
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    model: ModelOption,
}

/// What was found.
#[derive(Serialize)]
struct Report {
    requests: usize,
    /// Requests that the large model answered with calls.
    large_model_calls: usize,
    /// Why requests are handed off whatever the confidence.
    handed_off: BTreeMap<&'static str, usize>,
    /// At the model's own threshold.
    own: Option<Point>,
    /// At the threshold that reaches the wanted agreement.
    wanted: Option<Point>,
    by_tool: BTreeMap<String, ToolAgreement>,
    /// Of the large model, in requests that would be answered locally at the wanted threshold.
    tokens_saved: u64,
    /// Of all requests.
    tokens: u64,
    median_ms: f64,
    curve: Vec<Point>,
}

/// One line of the log.
struct Logged {
    api: Api,
    request: Map<String, Value>,
    large: Vec<ToolCall>,
    tokens: u64,
}

impl Shadow {
    pub(crate) fn run(&self) -> Outcome {
        if !(0.0..=1.0).contains(&self.agreement) {
            return Err(format!("--agreement {}: must be 0 to 1", self.agreement).into());
        }
        let report = self.compare()?;
        if let Some(path) = &self.svg {
            files::write(path, |out| Ok(out.write_all(draw::agreement_svg(&report.curve).as_bytes())?))?;
        }
        let mut out = std::io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &report)?;
            writeln!(out)?;
            return Ok(());
        }
        report.print(&mut out, self.agreement)
    }

    fn compare(&self) -> Outcome<Report> {
        let given = match &self.policy {
            None => Policy::default(),
            Some(path) => Policy::from_json(&files::read_text(path)?)?,
        };
        let model = self.model.load()?;
        let own = model.calibration().map(|calibration| calibration.threshold);
        // Every call is wanted with its confidence; thresholds are what this is to find.
        let threshold = own.map(|_| 0.0);
        let policy = Policy { threshold, thresholds: BTreeMap::new(), destructive_threshold: 0.0, ..given };
        let router = Router::new(&model, policy, 1)?;
        let lines = files::read_lines(&self.log)?;
        let bar = progress(lines.len());
        let (mut pairs, mut tokens, mut times) = (Vec::new(), Vec::new(), Vec::new());
        let mut handed_off = BTreeMap::new();
        for (number, line) in lines {
            let logged = Logged::read(&line)
                .map_err(|problem| format!("{}, line {number}: {problem}", self.log.display()))?;
            let start = Instant::now();
            let request = needle_core::Request::read(logged.api, &logged.request);
            let decision = router.decide_request(&request, Hooks::default())?.decision;
            times.push(start.elapsed().as_secs_f64() * 1e3);
            if let Some(reason) = decision.reason() {
                *handed_off.entry(reason.name()).or_default() += 1;
            }
            pairs.push(pair(&decision, logged.large));
            tokens.push(logged.tokens);
            bar.inc(1);
        }
        bar.finish_and_clear();
        times.sort_by(f64::total_cmp);
        let curve = agreement_curve(&pairs);
        let wanted = threshold_for(&curve, self.agreement);
        let bound = wanted.map_or(f64::INFINITY, |point| point.threshold);
        let local = |pair: &Pair| !pair.local.is_empty() && pair.confidence >= bound;
        Ok(Report {
            requests: pairs.len(),
            large_model_calls: pairs.iter().filter(|pair| !pair.large.is_empty()).count(),
            handed_off,
            own: own.and_then(|own| curve.iter().rev().find(|point| point.threshold >= own).copied()),
            wanted,
            by_tool: agreement_by_tool(&pairs, bound).into_iter().collect(),
            tokens_saved: pairs.iter().zip(&tokens).filter(|(pair, _)| local(pair)).map(|(_, t)| t).sum(),
            tokens: tokens.iter().sum(),
            median_ms: times.get(times.len() / 2).copied().unwrap_or_default(),
            curve,
        })
    }
}

fn pair(decision: &Decision, large: Vec<ToolCall>) -> Pair {
    let confidence = decision.confidence().map_or(0.0, |confidence| f64::from(confidence.get()));
    Pair { local: decision.calls().to_vec(), confidence, large }
}

impl Logged {
    fn read(line: &str) -> Result<Self, String> {
        let mut row: Map<String, Value> =
            serde_json::from_str(line).map_err(|error| format!("is no JSON object: {error}"))?;
        let (Some(Value::Object(request)), Some(response)) = (row.remove("request"), row.remove("response"))
        else {
            return Err("needs \"request\" and \"response\", both objects".into());
        };
        let (api, calls) =
            answer(&response).ok_or("\"response\" is none of a chat completion, a response and a message")?;
        let calls = calls.into_iter().collect::<Option<Vec<_>>>();
        let large = calls.ok_or("a call of the response has no name or no JSON arguments")?;
        let usage = &response["usage"];
        let count = |key: &str| usage[key].as_u64();
        let parts = count("input_tokens").unwrap_or(0) + count("output_tokens").unwrap_or(0);
        Ok(Self { api, request, large, tokens: count("total_tokens").unwrap_or(parts) })
    }
}

/// The API of an answer and its calls; a call that cannot be read is none.
fn answer(response: &Value) -> Option<(Api, Vec<Option<ToolCall>>)> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    if let Some(choices) = response["choices"].as_array() {
        let calls = list(&choices.first()?["message"]["tool_calls"]);
        let read =
            calls.iter().map(|call| tool_call(&call["function"]["name"], &call["function"]["arguments"]));
        return Some((Api::Chat, read.collect()));
    }
    if let Some(output) = response["output"].as_array() {
        let calls = output.iter().filter(|item| item["type"] == "function_call");
        return Some((
            Api::Responses,
            calls.map(|call| tool_call(&call["name"], &call["arguments"])).collect(),
        ));
    }
    let content = response["content"].as_array()?;
    let calls = content.iter().filter(|block| block["type"] == "tool_use");
    Some((Api::Messages, calls.map(|call| tool_call(&call["name"], &call["input"])).collect()))
}

/// Arguments are an object, or its text. Nulls say what leaving out says.
fn tool_call(name: &Value, arguments: &Value) -> Option<ToolCall> {
    let mut arguments: Map<String, Value> = match arguments {
        Value::String(text) => serde_json::from_str(text).ok()?,
        Value::Object(map) => map.clone(),
        _ => return None,
    };
    arguments.retain(|_, value| !value.is_null());
    Some(ToolCall { name: name.as_str()?.to_owned(), arguments })
}

impl Report {
    fn print(&self, out: &mut impl Write, agreement: f64) -> Outcome {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        writeln!(
            out,
            "{} requests, of which the large model answered {} with calls; a local decision takes {:.1} ms (median)",
            self.requests, self.large_model_calls, self.median_ms
        )?;
        let mut line = |name: &str, point: Option<Point>| match point {
            None => writeln!(out, "{name}: nothing would be answered locally"),
            Some(Point { threshold, coverage, agreement }) => writeln!(
                out,
                "{name} ({threshold:.3}): {} would be answered locally, {} of that as the large model did",
                percent(coverage),
                percent(agreement)
            ),
        };
        line("at the model's own threshold", self.own)?;
        line(&format!("at the threshold for {}", percent(agreement)), self.wanted)?;
        if self.tokens > 0 {
            let share = self.tokens_saved as f64 / self.tokens as f64;
            writeln!(
                out,
                "tokens saved there: {} of {} ({})",
                self.tokens_saved,
                self.tokens,
                percent(share)
            )?;
        }
        writeln!(out, "\n{:<32} {:>8} {:>9} {:>7}", "tool", "asked", "answered", "agreed")?;
        for (name, ToolAgreement { asked, answered, agreed }) in &self.by_tool {
            writeln!(out, "{name:<32} {asked:>8} {answered:>9} {agreed:>7}")?;
        }
        writeln!(out)?;
        for (reason, count) in &self.handed_off {
            writeln!(out, "handed off, {reason}: {count}")?;
        }
        Ok(())
    }
}
