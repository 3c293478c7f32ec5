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

/// Measure speed and memory on this machine.
#[derive(Args)]
#[command(
    after_help = "Prefill is the encoder and what the decoder needs of it; decode is one token with the logits of the
whole vocabulary, over 256 source tokens. A call is a whole decision of a 12-word query; of 100 tools 5 are
retrieved. Memory is what the process holds after the calls with 10 tools, before anything else, but with --random also
what making the weights left behind.
Compare runs of one session only: machines change from hour to hour.

Examples:
  needle bench --threads 2 --svg latency.svg
  needle bench --random published --weights int8 --threads 2 --json"
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
    /// Seconds for each figure
    #[arg(long, value_name = "NUMBER", default_value_t = 1.0)]
    seconds: f64,
    /// Whole calls for the latency histogram
    #[arg(long, value_name = "N", default_value_t = 200)]
    calls: usize,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Draw the latency histogram of calls into this SVG file
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
    /// Resident memory of this process, 10^6 bytes.
    Memory { resident_mb: f64 },
}

impl Bench {
    pub(crate) fn run(&self) -> Outcome {
        if !(self.seconds > 0.0 && self.seconds <= 3600.0) {
            return Err("option seconds: must be more than 0 and at most 3600".into());
        }
        let model = self.open()?;
        let subject = subject::Subject::new(&model, self.threads)?;
        let (mut figures, mut histogram) = (Vec::new(), Vec::new());
        // Ten tools come first, so that the memory is that of a process which does nothing else.
        for (tools, candidates) in [(10, 10), (5, 5), (100, 5)] {
            note(format_args!("calls with {tools} tools …"));
            let times = subject.calls(tools, candidates, self.calls)?;
            figures.push(latency(&format!("call, {tools} tools"), &times));
            if tools == 10 {
                histogram = times.milliseconds();
                figures.extend(measure::resident_mb().map(memory));
            }
        }
        for tokens in [200, 1000] {
            note(format_args!("prefill of {tokens} tokens …"));
            let times = measure::repeat(self.seconds, || subject.prefill(tokens))?;
            figures.push(rate(&format!("prefill, {tokens} tokens"), tokens, &times));
        }
        note(format_args!("decode …"));
        let mut decoding = subject.decoding()?;
        let times = measure::repeat(self.seconds, || subject.decode(&mut decoding))?;
        figures.push(rate("decode", 1, &times));
        for tools in [10, 100] {
            note(format_args!("catalogue of {tools} tools …"));
            let times = measure::repeat(self.seconds, || subject.compile(tools))?;
            figures.push(latency(&format!("compile {tools} tools"), &times));
        }
        if self.random.is_none() {
            note(format_args!("opening …"));
            let times = measure::repeat(self.seconds, || self.model.load())?;
            figures.push(latency("open the model", &times));
        }
        if let Some(path) = &self.svg {
            files::write(path, |out| Ok(out.write_all(draw::latencies_svg(&histogram).as_bytes())?))?;
        }
        self.print(&figures, &histogram)
    }

    fn open(&self) -> Outcome<Arc<Model>> {
        let model = self.model.load()?;
        match self.random {
            None => Ok(model),
            Some(Shape::Published) => random::model(&random::published(), self.weights, &model),
            Some(Shape::Isolated) => random::model(&random::isolated(), self.weights, &model),
        }
    }

    fn print(&self, figures: &[Figure], histogram: &[f64]) -> Outcome {
        let mut out = std::io::stdout().lock();
        if self.json {
            let isa = format!("{:?}", needle_core::kernels::Isa::best());
            let report = serde_json::json!({"threads": self.threads, "isa": isa, "figures": figures});
            writeln!(out, "{}", serde_json::to_string_pretty::<Value>(&report)?)?;
            return Ok(());
        }
        for Figure { name, value } in figures {
            match value {
                Measured::Rate { tokens_per_second } => {
                    writeln!(out, "{name:<24}{tokens_per_second:>10.0} tok/s")?;
                }
                Measured::Latency { p50_ms, p99_ms } => {
                    writeln!(out, "{name:<24}{p50_ms:>10.2} ms      p99 {p99_ms:.2} ms")?;
                }
                Measured::Memory { resident_mb } => writeln!(out, "{name:<24}{resident_mb:>10.1} MB")?,
            }
        }
        writeln!(out, "\ncalls with 10 tools, {}", draw::latencies(histogram))?;
        Ok(())
    }
}

fn rate(name: &str, tokens: usize, times: &Times) -> Figure {
    Figure {
        name: name.into(),
        value: Measured::Rate { tokens_per_second: tokens as f64 / times.quantile(0.5).as_secs_f64() },
    }
}

fn memory(resident_mb: f64) -> Figure {
    Figure { name: "memory, 10 tools".into(), value: Measured::Memory { resident_mb } }
}

fn latency(name: &str, times: &Times) -> Figure {
    let ms = |share| 1000.0 * times.quantile(share).as_secs_f64();
    Figure { name: name.into(), value: Measured::Latency { p50_ms: ms(0.5), p99_ms: ms(0.99) } }
}
