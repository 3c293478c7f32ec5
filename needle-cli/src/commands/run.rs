//! `needle run`: one query, lines of standard input, or a file of rows.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use needle_core::{
    Catalogue, Confidence, Decision, Grounding, HandoffReason, Model, Options, Session, ToolCall, tool,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::ModelOption;
use crate::{Outcome, files, note, tools};

/// Decide a query: print the calls to make, or that it should be handed off.
#[derive(Args)]
#[command(after_help = "Examples:
  needle run --tools examples/tools.json --query 'set a timer for ten minutes'
  needle run --tools examples/tools.json --query -          (one query per line of input)
  needle run --input rows.jsonl --output decisions.jsonl    (rows of {\"id\",\"query\",\"tools\"})")]
pub(crate) struct Run {
    /// The user's words; `-` reads one query per line from standard input
    #[arg(long, value_name = "TEXT", required_unless_present = "input", conflicts_with = "input")]
    query: Option<String>,
    /// File or JSON text of the tools: OpenAI, Anthropic, MCP, Gemini or plain JSON Schema
    #[arg(long, value_name = "FILE|JSON", required_unless_present = "input")]
    tools: Option<String>,
    /// Rows to decide, one JSON object {"id","query","tools"} per line; tools may come from --tools
    #[arg(long, value_name = "FILE", requires = "output")]
    input: Option<PathBuf>,
    /// Where the decisions of --input go, in the order of the rows
    #[arg(long, value_name = "FILE", requires = "input")]
    output: Option<PathBuf>,
    /// What to print: the calls alone (`[]` for a hand-off), or the whole decision
    #[arg(long, value_enum, default_value_t = Format::Calls)]
    format: Format,
    #[command(flatten)]
    model: ModelOption,
    #[command(flatten)]
    options: DecisionOptions,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Calls,
    Full,
}

/// Settings of a decision, the same for every command that decides.
#[derive(Args)]
pub(crate) struct DecisionOptions {
    /// Confidence below which a call becomes a hand-off, 0 to 1; by default the model's own
    #[arg(long, value_name = "NUMBER")]
    threshold: Option<f32>,
    /// What to do with arguments that the query does not contain
    #[arg(long, value_enum, default_value_t = GroundingOption::Report)]
    grounding: GroundingOption,
    /// Most calls in one answer
    #[arg(long, value_name = "N", default_value_t = Options::default().max_calls)]
    max_calls: usize,
    /// Longest answer in tokens
    #[arg(long, value_name = "N", default_value_t = Options::default().max_output_tokens)]
    max_output_tokens: usize,
    /// Most tools that take part in one decision; of more, the nearest are retrieved
    #[arg(long, value_name = "N", default_value_t = Options::default().max_candidates)]
    max_candidates: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum GroundingOption {
    Off,
    Report,
    Enforce,
}

impl DecisionOptions {
    pub(crate) fn options(&self) -> Outcome<Options> {
        let grounding = match self.grounding {
            GroundingOption::Off => Grounding::Off,
            GroundingOption::Report => Grounding::Report,
            GroundingOption::Enforce => Grounding::Enforce,
        };
        let options = Options {
            threshold: self.threshold,
            grounding,
            max_calls: self.max_calls,
            max_output_tokens: self.max_output_tokens,
            max_candidates: self.max_candidates,
            ..Options::default()
        };
        options.validate()?;
        Ok(options)
    }
}

impl Run {
    pub(crate) fn run(&self) -> Outcome {
        let options = self.options.options()?;
        let shared = self.tools.as_deref().map(tools::text).transpose()?;
        let mut runner = Runner::new(&self.model.load()?, options)?;
        if let (Some(input), Some(output)) = (&self.input, &self.output) {
            return runner.rows(input, output, shared.as_deref());
        }
        let catalogue = runner.catalogue(&shared.unwrap_or_default())?;
        match self.query.as_deref().unwrap_or_default() {
            "-" => self.lines(&mut runner, &catalogue),
            query => self.print(&runner.session.decide(&catalogue, query, &runner.options)?),
        }
    }

    /// One query per line; a line that is no text is reported, and the next one is read.
    fn lines(&self, runner: &mut Runner, catalogue: &Arc<Catalogue>) -> Outcome {
        let mut input = std::io::stdin().lock();
        let is_terminal = input.is_terminal();
        for number in 1.. {
            if is_terminal {
                write!(std::io::stderr(), "needle> ")?;
            }
            match files::next_line(&mut input) {
                Ok(None) => break,
                Ok(Some(line)) if is_terminal && line.trim().is_empty() => {}
                // Whether a query can be decided depends on the model and the options, not on this line.
                Ok(Some(line)) => self.print(&runner.session.decide(catalogue, &line, &runner.options)?)?,
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                    note(format_args!("error: standard input, line {number}: {error}"));
                    self.print(&unreadable())?;
                }
                Err(error) => return Err(format!("standard input, line {number}: {error}").into()),
            }
        }
        Ok(())
    }

    fn print(&self, decision: &Decision) -> Outcome {
        let text = match self.format {
            Format::Calls => serde_json::to_string(decision.calls())?,
            Format::Full => serde_json::to_string(decision)?,
        };
        writeln!(std::io::stdout(), "{text}")?;
        Ok(())
    }
}

/// Keeps lines of output in step with lines of input where one of them is no text.
fn unreadable() -> Decision {
    Decision::Handoff {
        reason: HandoffReason::NotAUserTurn,
        detail: "the line is not UTF-8 text".into(),
        confidence: None,
        suppressed_calls: Vec::new(),
        ungrounded: Vec::new(),
        timings: needle_core::router::Timings::default(),
    }
}

/// A session with the catalogues that it has compiled.
pub(crate) struct Runner {
    pub(crate) session: Session,
    pub(crate) options: Options,
    threads: usize,
    catalogues: HashMap<String, Arc<Catalogue>>,
}

impl Runner {
    /// Catalogues kept compiled; rows of one file mostly share theirs.
    const KEPT: usize = 64;

    pub(crate) fn new(model: &Arc<Model>, options: Options) -> Outcome<Self> {
        let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4));
        let session = Session::with_threads(model, threads)?;
        Ok(Self { session, options, threads, catalogues: HashMap::new() })
    }

    /// The compiled tools of a JSON text, kept for the next row with the same text.
    pub(crate) fn catalogue(&mut self, tools: &str) -> Outcome<Arc<Catalogue>> {
        if let Some(known) = self.catalogues.get(tools) {
            return Ok(Arc::clone(known));
        }
        let model = self.session.model();
        let catalogue = Catalogue::compile_with_threads(model, tool::parse(tools)?, self.threads)?;
        if self.catalogues.len() == Self::KEPT {
            self.catalogues.clear();
        }
        self.catalogues.insert(tools.to_owned(), Arc::clone(&catalogue));
        Ok(catalogue)
    }

    fn rows(&mut self, input: &Path, output: &Path, shared: Option<&str>) -> Outcome {
        let lines = files::read_lines(input)?;
        let bar = super::progress(lines.len());
        files::write(output, |out| {
            for (number, line) in &lines {
                let decided = self
                    .row(line, shared)
                    .map_err(|error| format!("{}, line {number}: {error}", input.display()))?;
                serde_json::to_writer(&mut *out, &decided)?;
                writeln!(out)?;
                bar.inc(1);
            }
            bar.finish_and_clear();
            Ok(())
        })
    }

    fn row(&mut self, line: &str, shared: Option<&str>) -> Outcome<DecidedRow> {
        let row: QueryRow = serde_json::from_str(line)?;
        let own = row.tools.as_ref().map(Value::to_string);
        let tools = own.as_deref().or(shared).ok_or("has no tools; add them to the row or give --tools")?;
        let catalogue = self.catalogue(tools)?;
        let decision = self.session.decide(&catalogue, &row.query, &self.options)?;
        Ok(DecidedRow {
            id: row.id,
            decision: if decision.reason().is_some() { "handoff" } else { "call" },
            calls: decision.calls().to_vec(),
            confidence: decision.confidence().map(Confidence::get),
            reason: decision.reason(),
            timings: decision.timings(),
        })
    }
}

#[derive(Deserialize)]
struct QueryRow {
    #[serde(default)]
    id: Value,
    query: String,
    tools: Option<Value>,
}

#[derive(Serialize)]
struct DecidedRow {
    id: Value,
    decision: &'static str,
    calls: Vec<ToolCall>,
    confidence: Option<f32>,
    reason: Option<HandoffReason>,
    timings: needle_core::router::Timings,
}
