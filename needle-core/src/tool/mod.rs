//! Tool definitions of any common format, read into one: name, description, parameters as JSON Schema.
//!
//! Understood are `OpenAI` chat and responses tools, Anthropic, MCP, Gemini, Needle's flat form, `LangChain`
//! and bare JSON Schemas, in a list, in `{"tools": […]}` or alone. Pure data: nothing is compiled here.

mod dialect;
pub mod flat;
mod formats;
mod location;
pub mod reference;
mod schema;

use std::collections::HashMap;

use serde_json::Value;

use crate::error::{Error, Result};

/// Largest tool list read, in bytes of JSON.
pub const MAX_JSON_BYTES: usize = 16 << 20;

/// Largest number of tools in one list.
pub const MAX_TOOLS: usize = 4096;

/// One tool that can be called, whatever format it was written in.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolSpec {
    /// The name as the caller spells it; any Unicode, never blank, unique in its list.
    pub name: String,
    /// What the tool does; empty if the definition does not say.
    pub description: String,
    /// JSON Schema 2020-12 of the arguments: an object schema, references local and resolvable.
    pub parameters: Value,
    /// What the definition promises about the tool's effects.
    pub annotations: Annotations,
    /// The definition as given.
    pub source: Value,
}

/// MCP's hints about a tool's effects; `None` where the definition does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    /// The tool changes nothing.
    pub read_only: Option<bool>,
    /// The tool may destroy something.
    pub destructive: Option<bool>,
    /// Calling twice has the effect of calling once.
    pub idempotent: Option<bool>,
    /// The tool reaches outside a closed domain, for example into the web.
    pub open_world: Option<bool>,
}

/// A listed tool that cannot be called locally, such as a provider's web search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderTool {
    /// Its name, or its index in the list such as `#3`.
    pub tool: String,
    /// The kind as given, such as `web_search`.
    pub kind: String,
}

/// A tool list, divided by who can run the tools.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Toolset {
    /// Functions with JSON arguments, in the order given.
    pub local: Vec<ToolSpec>,
    /// What only the provider can run; a request may need it, so a router must be able to hand off.
    pub provider: Vec<ProviderTool>,
}

impl Toolset {
    /// Reads a list of tools in which some may be the provider's own.
    ///
    /// # Errors
    /// [`Error::Tool`] names the tool, the place in its definition and the remedy; [`Error::Limit`] if the
    /// text is longer than [`MAX_JSON_BYTES`] or lists more than [`MAX_TOOLS`].
    pub fn parse(json: &str) -> Result<Self> {
        if json.len() > MAX_JSON_BYTES {
            let what = "the size of the tool definitions in bytes";
            return Err(Error::Limit { what, actual: json.len(), limit: MAX_JSON_BYTES });
        }
        let root: Value = serde_json::from_str(json).map_err(|error| Error::Tool {
            tool: "list".into(),
            pointer: String::new(),
            problem: format!("not valid JSON: {error}"),
        })?;
        let definitions = formats::definitions(root)?;
        if definitions.len() > MAX_TOOLS {
            let what = "the number of tools";
            return Err(Error::Limit { what, actual: definitions.len(), limit: MAX_TOOLS });
        }
        let mut set = Self::default();
        let mut seen = HashMap::new();
        for (index, definition) in definitions.into_iter().enumerate() {
            match formats::read(definition, index)? {
                formats::Item::Local(spec) => {
                    if let Some(first) = seen.insert(spec.name.clone(), index) {
                        return Err(Error::Tool {
                            tool: format!("#{index}"),
                            pointer: String::new(),
                            problem: format!(
                                "the name {:?} is already that of tool #{first}; give every tool its own name",
                                spec.name
                            ),
                        });
                    }
                    set.local.push(*spec);
                }
                formats::Item::Provider(tool) => set.provider.push(tool),
            }
        }
        Ok(set)
    }
}

/// Reads a list of tools, all of which can be called locally.
///
/// ```
/// let tools = needle_core::tool::parse(
///     r#"[{"name": "set_timer", "parameters": {"minutes": {"type": "integer", "required": true}}}]"#,
/// )?;
/// assert_eq!(tools[0].name, "set_timer");
/// assert_eq!(tools[0].parameters["required"], serde_json::json!(["minutes"]));
/// # Ok::<(), needle_core::Error>(())
/// ```
///
/// # Errors
/// As [`Toolset::parse`], and [`Error::ProviderTool`] for the first tool that only a provider can run.
pub fn parse(json: &str) -> Result<Vec<ToolSpec>> {
    let mut set = Toolset::parse(json)?;
    if set.provider.is_empty() {
        return Ok(set.local);
    }
    let ProviderTool { tool, kind } = set.provider.swap_remove(0);
    Err(Error::ProviderTool { tool, kind })
}
