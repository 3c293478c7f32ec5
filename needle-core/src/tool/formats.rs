//! From each provider's way of writing a tool to [`ToolSpec`].
//!
//! | format | recognised by |
//! |---|---|
//! | `OpenAI` chat | `function: {name, parameters}` |
//! | `OpenAI` responses | `name`, `parameters`, `type: "function"` |
//! | Anthropic | `name`, `input_schema` |
//! | MCP | `name`, `inputSchema` (2.x: `input_schema`), `annotations` |
//! | Gemini | `functionDeclarations: […]`, or one declaration; `parametersJsonSchema` |
//! | Needle | `name`, `parameters: {minutes: {type, required: true}}` |
//! | JSON Schema, `LangChain` | `title`, `properties` |

use serde_json::{Map, Value};

use super::location::{Location, describe};
use super::{Annotations, ProviderTool, ToolSpec, flat, schema};
use crate::error::{Error, Result};

/// Keys that hold the parameters' schema, over all formats.
const PARAMETER_KEYS: [&str; 5] =
    ["parameters", "input_schema", "inputSchema", "parameters_json_schema", "parametersJsonSchema"];

/// Gemini's wrapper around its function declarations, in both spellings.
const DECLARATION_KEYS: [&str; 2] = ["functionDeclarations", "function_declarations"];

/// Gemini's own tools: keys of a tool object, lower case and without underscores.
const GEMINI_TOOLS: [&str; 8] = [
    "googlesearch",
    "googlesearchretrieval",
    "enterprisewebsearch",
    "codeexecution",
    "urlcontext",
    "googlemaps",
    "filesearch",
    "computeruse",
];

/// Keys that people write where a format wants `parameters`; passing over them would lose the arguments.
const MISTAKEN_KEYS: [&str; 6] = ["params", "param", "arguments", "args", "schema", "inputs"];

/// A definition, read.
pub(super) enum Item {
    /// A function with JSON arguments.
    Local(Box<ToolSpec>),
    /// Something that only the provider runs.
    Provider(ProviderTool),
}

/// The single definitions in a document: a list, `{"tools": […]}`, one tool, Gemini's wrappers unpacked.
pub(super) fn definitions(root: Value) -> Result<Vec<Value>> {
    let items = match root {
        Value::Array(items) => items,
        Value::Object(mut map) if map.get("tools").is_some_and(Value::is_array) => {
            let Some(Value::Array(items)) = map.remove("tools") else { return Ok(Vec::new()) };
            items
        }
        Value::Object(map) => vec![Value::Object(map)],
        other => {
            return Err(Error::Tool {
                tool: "list".into(),
                pointer: String::new(),
                problem: format!("is {}; give a JSON list of tools", describe(&other)),
            });
        }
    };
    let mut all = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Value::Object(map) if DECLARATION_KEYS.iter().any(|key| present(&map, key).is_some()) => {
                unwrap_gemini(map, &mut all)?;
            }
            other => all.push(other),
        }
    }
    Ok(all)
}

/// Adds the declarations of one Gemini tool, and each of the provider's tools beside them.
fn unwrap_gemini(map: Map<String, Value>, all: &mut Vec<Value>) -> Result<()> {
    let location = Location::of(format!("#{}", all.len()));
    for (key, value) in map {
        if value.is_null() {
            continue;
        }
        if !DECLARATION_KEYS.contains(&key.as_str()) {
            all.push(Value::Object(Map::from_iter([(key, value)])));
            continue;
        }
        let Value::Array(declarations) = value else {
            let pointer = format!("/{key}");
            return Err(location.error_at(pointer, format!("is {}; give a list", describe(&value))));
        };
        all.extend(declarations);
    }
    Ok(())
}

/// Reads one definition; `index` names it as long as its name is unknown.
pub(super) fn read(source: Value, index: usize) -> Result<Item> {
    let unnamed = Location::of(format!("#{index}"));
    let Value::Object(outer) = &source else {
        return unnamed.fail(format!(
            "is {}; a tool is an object with a \"name\" and \"parameters\"",
            describe(&source)
        ));
    };
    if let Some(kind) = provider_kind(outer) {
        let tool = present(outer, "name").and_then(Value::as_str).map_or(format!("#{index}"), str::to_owned);
        return Ok(Item::Provider(ProviderTool { tool, kind }));
    }
    let spec = match present(outer, "function") {
        Some(Value::Object(function)) => read_nested(outer, function, unnamed)?,
        Some(other) => {
            let problem = format!("is {}; give an object with \"name\" and \"parameters\"", describe(other));
            return Err(unnamed.error_at("/function".into(), problem));
        }
        None => read_function(outer, &unnamed)?,
    };
    Ok(Item::Local(Box::new(ToolSpec { source, ..spec })))
}

/// A function inside `{"type": "function", "function": {…}}`.
fn read_nested(
    outer: &Map<String, Value>,
    function: &Map<String, Value>,
    unnamed: Location,
) -> Result<ToolSpec> {
    let mut location = unnamed;
    let mut spec = location.inside("function", |location| {
        let name = name(function, location)?;
        let mut location = location.renamed(&name);
        read_named(function, name, &mut location)
    })?;
    if let Some(annotations) = present(outer, "annotations") {
        spec.annotations = read_annotations(annotations);
    }
    Ok(spec)
}

/// A function whose name and parameters lie side by side.
fn read_function(map: &Map<String, Value>, unnamed: &Location) -> Result<ToolSpec> {
    let name = name(map, unnamed)?;
    read_named(map, name.clone(), &mut unnamed.renamed(&name))
}

/// The rest of a function, once its errors can be reported by name.
fn read_named(map: &Map<String, Value>, name: String, location: &mut Location) -> Result<ToolSpec> {
    let description = match present(map, "description") {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => {
            let problem = format!("is {}; a description is a string", describe(other));
            return location.inside("description", |here| here.fail(problem));
        }
    };
    Ok(ToolSpec {
        name,
        description,
        parameters: parameters(map, location)?,
        annotations: present(map, "annotations").map(read_annotations).unwrap_or_default(),
        source: Value::Null,
    })
}

/// The name: `name`, or a bare schema's `title`.
fn name(map: &Map<String, Value>, location: &Location) -> Result<String> {
    let found = ["name", "title"].into_iter().find_map(|key| Some((key, present(map, key)?)));
    let Some((key, value)) = found else {
        return location
            .fail("has no \"name\"; give the tool one (a bare JSON Schema takes it from \"title\")");
    };
    match value {
        Value::String(name) if !name.trim().is_empty() => Ok(name.clone()),
        Value::String(_) => location.fail(format!("{key:?} is empty; give the tool a name")),
        other => location.fail(format!("{key:?} is {}; a tool's name is a string", describe(other))),
    }
}

/// The normalised parameters of a function in any format.
fn parameters(map: &Map<String, Value>, location: &mut Location) -> Result<Value> {
    let mut given = PARAMETER_KEYS.iter().filter_map(|key| Some((*key, present(map, key)?)));
    if let Some((key, value)) = given.next() {
        if let Some((other, _)) = given.next() {
            return location.fail(format!("has both {key:?} and {other:?}; keep one"));
        }
        return location.inside(key, |location| match value {
            Value::Object(schema) if flat::is_flat(schema) => schema::normalise_flat(schema, location),
            value => schema::normalise(with_definitions(value.clone(), map), location),
        });
    }
    if is_bare_schema(map) {
        let mut schema = map.clone();
        for key in ["name", "title", "description", "annotations"] {
            schema.shift_remove(key);
        }
        return schema::normalise(Value::Object(schema), location);
    }
    if let Some(key) = MISTAKEN_KEYS.iter().find(|key| present(map, key).is_some()) {
        return location
            .fail(format!("{key:?} is not a key of any known tool format; call it \"parameters\""));
    }
    schema::normalise(Value::Object(Map::new()), location)
}

/// A schema together with the definitions that lie beside it, so that its references keep their targets.
fn with_definitions(mut schema: Value, beside: &Map<String, Value>) -> Value {
    if let Value::Object(inner) = &mut schema {
        for key in ["$defs", "definitions"] {
            if let (Some(definitions), false) = (present(beside, key), inner.contains_key(key)) {
                inner.insert(key.into(), definitions.clone());
            }
        }
    }
    schema
}

/// Whether the tool is itself a schema of its arguments.
fn is_bare_schema(map: &Map<String, Value>) -> bool {
    present(map, "properties").is_some()
        || ["$ref", "anyOf", "oneOf", "allOf"].iter().any(|key| present(map, key).is_some())
        || present(map, "type").and_then(Value::as_str).is_some_and(|kind| kind != "function")
}

/// What kind of provider tool this is, if it is one.
fn provider_kind(map: &Map<String, Value>) -> Option<String> {
    let has_schema = PARAMETER_KEYS.iter().any(|key| present(map, key).is_some());
    if has_schema || present(map, "function").is_some() || present(map, "properties").is_some() {
        return None;
    }
    if let Some(kind) = present(map, "type").and_then(Value::as_str) {
        let local = kind == "function" || kind.eq_ignore_ascii_case("object");
        return (!local).then(|| kind.to_owned());
    }
    if present(map, "name").is_some() {
        return None;
    }
    map.iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, _)| key)
        .find(|key| GEMINI_TOOLS.contains(&key.replace('_', "").to_lowercase().as_str()))
        .cloned()
}

/// MCP's hints, in the wire's spelling or the Python SDK's.
fn read_annotations(value: &Value) -> Annotations {
    let hint =
        |wire: &str, python: &str| value.get(wire).or_else(|| value.get(python)).and_then(Value::as_bool);
    Annotations {
        read_only: hint("readOnlyHint", "read_only_hint"),
        destructive: hint("destructiveHint", "destructive_hint"),
        idempotent: hint("idempotentHint", "idempotent_hint"),
        open_world: hint("openWorldHint", "open_world_hint"),
    }
}

/// A key's value; null counts as absent, for serialised objects write every field.
fn present<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    map.get(key).filter(|value| !value.is_null())
}
