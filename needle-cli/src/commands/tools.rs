//! `needle tools`: how tools are understood, and what their schemas let through.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use needle_core::acceptance::{Acceptance, accepts};
use needle_core::grammar::Support;
use needle_core::{Catalogue, Model, tool};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::ModelOption;
use crate::{Outcome, files, tools};

/// Look at tools as the engine sees them.
#[derive(Subcommand)]
pub(crate) enum Tools {
    Check(Check),
    Accept(Accept),
}

impl Tools {
    pub(crate) fn run(&self) -> Outcome {
        match self {
            Self::Check(command) => command.run(),
            Self::Accept(command) => command.run(),
        }
    }
}

/// Show how each tool was understood: name, parameters, prompt tokens, support of its schema.
#[derive(Args)]
#[command(after_help = "Example:
  needle tools check examples/tools.json")]
pub(crate) struct Check {
    /// File or JSON text of the tools
    #[arg(value_name = "FILE|JSON")]
    tools: String,
    /// Print one JSON object per tool
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelOption,
}

impl Check {
    fn run(&self) -> Outcome {
        let catalogue = Catalogue::compile(&self.model.load()?, tool::parse(&tools::text(&self.tools)?)?)?;
        let mut out = std::io::stdout().lock();
        for tool in catalogue.tools() {
            let (spec, tokens) = (tool.spec(), tool.prompt_tokens());
            if self.json {
                let line = json!({
                    "name": spec.name, "snake_name": tool.snake_name(), "parameters": spec.parameters,
                    "prompt_tokens": tokens, "support": tool.support(),
                });
                writeln!(out, "{line}")?;
                continue;
            }
            writeln!(out, "{} (read as {}), {tokens} tokens", spec.name, tool.snake_name())?;
            for (name, kind) in parameters(&spec.parameters) {
                writeln!(out, "    {name}: {kind}")?;
            }
            match tool.support() {
                Support::Exact => writeln!(out, "    schema: exact")?,
                Support::Refused(problem) => writeln!(out, "    schema: refused, {problem}")?,
                Support::Lenient(problems) => {
                    for problem in problems {
                        writeln!(out, "    schema: lenient, {problem}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Each parameter's name and kind, required ones marked.
fn parameters(schema: &Value) -> Vec<(String, String)> {
    let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties
        .map(|(name, property)| {
            let kind = if property.get("enum").is_some() {
                format!("one of {}", property["enum"])
            } else {
                property["type"].as_str().map_or_else(|| "any".into(), str::to_owned)
            };
            let mark = if required.iter().any(|required| required == name) { ", required" } else { "" };
            (name.clone(), format!("{kind}{mark}"))
        })
        .collect()
}

/// Say whether grammar and validation would let arguments through, and where they stop.
#[derive(Args)]
#[command(after_help = "Examples:
  needle tools accept --schema schema.json --instance arguments.json
  needle tools accept --input rows.jsonl        (rows of {\"schema\": …, \"instance\": …})")]
pub(crate) struct Accept {
    /// JSON Schema of a tool's parameters
    #[arg(long, value_name = "FILE", required_unless_present = "input", requires = "instance")]
    schema: Option<PathBuf>,
    /// An arguments object
    #[arg(long, value_name = "FILE", requires = "schema")]
    instance: Option<PathBuf>,
    /// Rows of {"schema","instance"}, one per line; prints one line each
    #[arg(long, value_name = "FILE", conflicts_with_all = ["schema", "instance"])]
    input: Option<PathBuf>,
    #[command(flatten)]
    model: ModelOption,
}

#[derive(Deserialize)]
struct AcceptRow {
    schema: Value,
    instance: Value,
}

#[derive(Serialize)]
struct Verdict {
    accepted: bool,
    support: Support,
    /// Where the grammar stops: bytes of `text` that it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    grammar: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    validation: Option<Value>,
}

impl Accept {
    fn run(&self) -> Outcome {
        let model = self.model.load()?;
        if let Some(input) = &self.input {
            for (number, line) in files::read_lines(input)? {
                let row: AcceptRow = serde_json::from_str(&line)
                    .map_err(|error| format!("{}, line {number}: {error}", input.display()))?;
                print(&model, &row.schema, &row.instance)?;
            }
            return Ok(());
        }
        let read = |path: &Option<PathBuf>| -> Outcome<Value> {
            let Some(path) = path else { return Ok(Value::Null) };
            let text = files::read_text(path)?;
            Ok(serde_json::from_str(&text)
                .map_err(|error| format!("{}: is not JSON ({error})", path.display()))?)
        };
        print(&model, &read(&self.schema)?, &read(&self.instance)?)
    }
}

fn print(model: &Model, schema: &Value, instance: &Value) -> Outcome {
    let acceptance = accepts(model.vocabulary(), schema, instance);
    let accepted = acceptance.accepted();
    let Acceptance { support, grammar, validation } = acceptance;
    let verdict = Verdict {
        accepted,
        support,
        grammar: grammar.err().map(|stop| json!({"offset": stop.offset, "text": stop.text})),
        validation: validation
            .err()
            .map(|failure| json!({"pointer": failure.pointer, "message": failure.message})),
    };
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&verdict)?)?;
    Ok(())
}
