//! `needle bench`: speed and memory of a model on this machine.

mod measure;
mod random;
mod subject;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use needle_core::Model;
use serde::Serialize;
use serde_json::Value;

use crate::model::ModelOption;
use crate::{Outcome, draw, files, note};
use measure::Times;
use random::Stored;
use subject::{Calls, Subject};

/// Measure speed and memory on this machine.
#[derive(Args)]
#[command(
    after_help = "Prefill is the encoder and what the decoder needs of it; decode is one token with the logits of the
whole vocabulary, over 256 source tokens. A call is a whole decision of a query of 12 tokens, whose answer is cut off after
25 and what the grammar forces then; each token that was chosen took a pass of the decoder. Of 100 tools 5 are retrieved.
Memory is what the process holds after the calls with 10 tools, before anything else, but with --random also what making the
weights left behind.
Compare runs of one session only: machines change from hour to hour.

Examples:
  needle bench --threads 2 --svg latency.svg
  needle bench --random published --weights int8 --threads 2 --json
  needle bench --only decode --only compile"
)]
pub(crate) struct Bench {
    #[command(flatten)]
    model: ModelOption,
    /// Measure random weights of this shape instead of a model
    #[arg(long, value_enum, conflicts_with = "model")]
    random: Option<Shape>,
    /// How random weights are stored
    #[arg(long, value_enum, default_value_t = Stored::Int8, requires = "random")]
    weights: Stored,
    /// Threads of a session
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// Measure this alone; may be given several times
    #[arg(long, value_enum, value_name = "PART")]
    only: Vec<Part>,
    /// Seconds for each figure
    #[arg(long, value_name = "NUMBER", default_value_t = 1.0)]
    seconds: f64,
    /// Whole calls for the latency histogram
    #[arg(long, value_name = "N", default_value_t = 200)]
    calls: usize,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Draw the latency histogram of calls with 10 tools into this SVG file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Sizes of random weights.
#[derive(Clone, Copy, ValueEnum)]
enum Shape {
    /// The published 26M network, joint layout
    Published,
    /// The same in the isolated layout, with a copy head
    Isolated,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Part {
    /// Whole decisions with 10, 5 and 100 tools, and memory
    Calls,
    /// The encoder
    Prefill,
    /// The decoder
    Decode,
    /// Compiling 10 and 100 tools
    Compile,
    /// Opening the model
    Open,
}

/// One line of the result.
#[derive(Serialize)]
struct Figure {
    name: String,
    #[serde(flatten)]
    value: Measured,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Measured {
    /// Tokens per second, from the median time.
    Rate { tokens_per_second: f64 },
    /// Milliseconds.
    Latency { p50_ms: f64, p99_ms: f64 },
    /// Milliseconds, of which so many for encoding the query (median); the answer's tokens, and how many of them were
    /// chosen instead of forced by the grammar.
    Call { p50_ms: f64, p99_ms: f64, encode_ms: f64, answer_tokens: usize, choices: usize },
    /// Resident memory of this process, 10^6 bytes.
    Memory { resident_mb: f64 },
}

impl Bench {
    pub(crate) fn run(&self) -> Outcome {
        if !(self.seconds > 0.0 && self.seconds <= 3600.0) {
            return Err("option seconds: must be more than 0 and at most 3600".into());
        }
        if self.svg.is_some() && !self.measures(Part::Calls) {
            return Err("option svg: draws the latencies of calls; add --only calls".into());
        }
        let model = self.open()?;
        let subject = Subject::new(&model, self.threads)?;
        let mut result = Measurements::default();
        // Calls come first, so that the memory is that of a process which does nothing else.
        if self.measures(Part::Calls) {
            self.measure_calls(&subject, &mut result)?;
        }
        if self.measures(Part::Prefill) {
            for tokens in [200, 1000] {
                note(format_args!("prefill of {tokens} tokens …"));
                let times = measure::repeat(self.seconds, || subject.prefill(tokens))?;
                result.add(format!("prefill, {tokens} tokens"), rate(tokens, &times));
            }
        }
        if self.measures(Part::Decode) {
            note(format_args!("decode …"));
            let mut decoding = subject.decoding()?;
            let times = measure::repeat(self.seconds, || subject.decode(&mut decoding))?;
            result.add("decode", rate(1, &times));
        }
        if self.measures(Part::Compile) {
            for tools in [10, 100] {
                note(format_args!("catalogue of {tools} tools …"));
                let times = measure::repeat(self.seconds, || subject.compile(tools))?;
                result.add(format!("compile {tools} tools"), latency(&times));
            }
        }
        if self.measures(Part::Open) && self.random.is_none() {
            note(format_args!("opening …"));
            let times = measure::repeat(self.seconds, || self.model.load())?;
            result.add("open the model", latency(&times));
        }
        if let Some(path) = &self.svg {
            if result.histogram.is_empty() {
                return Err("option svg: there are no calls with 10 tools to draw".into());
            }
            let svg = draw::latencies_svg(&result.histogram);
            files::write(path, |out| Ok(out.write_all(svg.as_bytes())?))?;
        }
        self.print(&result)
    }

    fn measures(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    fn measure_calls(&self, subject: &Subject, result: &mut Measurements) -> Outcome {
        for (tools, candidates) in [(10, 10), (5, 5), (100, 5)] {
            note(format_args!("calls with {tools} tools …"));
            let Some(calls) = subject.calls(tools, candidates, self.calls)? else {
                note(format_args!("{tools} tools do not fit the model's context: not measured"));
                continue;
            };
            result.add(format!("call, {tools} tools"), call(&calls));
            if tools == 10 {
                result.histogram = calls.times.milliseconds();
                if let Some(resident_mb) = measure::resident_mb() {
                    result.add("memory, 10 tools", Measured::Memory { resident_mb });
                }
            }
        }
        Ok(())
    }

    fn open(&self) -> Outcome<Arc<Model>> {
        let model = self.model.load()?;
        match self.random {
            None => Ok(model),
            Some(Shape::Published) => random::model(&random::published(), self.weights, &model),
            Some(Shape::Isolated) => random::model(&random::isolated(), self.weights, &model),
        }
    }

    fn print(&self, Measurements { figures, histogram }: &Measurements) -> Outcome {
        let mut out = std::io::stdout().lock();
        if self.json {
            let isa = format!("{:?}", needle_core::kernels::Isa::best());
            let report = serde_json::json!({"threads": self.threads, "isa": isa, "figures": figures});
            writeln!(out, "{}", serde_json::to_string_pretty::<Value>(&report)?)?;
            return Ok(());
        }
        for Figure { name, value } in figures {
            write!(out, "{name:<24}")?;
            match value {
                Measured::Rate { tokens_per_second } => writeln!(out, "{tokens_per_second:>10.0} tok/s")?,
                Measured::Latency { p50_ms, p99_ms } => {
                    writeln!(out, "{p50_ms:>10.2} ms      p99 {p99_ms:.2} ms")?;
                }
                Measured::Call { p50_ms, p99_ms, encode_ms, answer_tokens, choices } => writeln!(
                    out,
                    "{p50_ms:>10.2} ms      p99 {p99_ms:.2} ms, encoder {encode_ms:.2} ms, {answer_tokens} tokens, {choices} chosen"
                )?,
                Measured::Memory { resident_mb } => writeln!(out, "{resident_mb:>10.1} MB")?,
            }
        }
        if !histogram.is_empty() {
            writeln!(out, "\ncalls with 10 tools, {}", draw::latencies(histogram))?;
        }
        Ok(())
    }
}

/// What was measured so far.
#[derive(Default)]
struct Measurements {
    figures: Vec<Figure>,
    /// Times of the calls with 10 tools, in milliseconds.
    histogram: Vec<f64>,
}

impl Measurements {
    fn add(&mut self, name: impl Into<String>, value: Measured) {
        self.figures.push(Figure { name: name.into(), value });
    }
}

fn rate(tokens: usize, times: &Times) -> Measured {
    Measured::Rate { tokens_per_second: tokens as f64 / times.quantile(0.5).as_secs_f64() }
}

fn latency(times: &Times) -> Measured {
    let [p50_ms, p99_ms] = times.quantiles_ms();
    Measured::Latency { p50_ms, p99_ms }
}

fn call(calls: &Calls) -> Measured {
    let [p50_ms, p99_ms] = calls.times.quantiles_ms();
    let [encode_ms, _] = calls.encode.quantiles_ms();
    Measured::Call { p50_ms, p99_ms, encode_ms, answer_tokens: calls.tokens, choices: calls.choices }
}
