//! The published checkpoint's prompt: `query <tools> tools-json` in one sequence.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::TextEncoder;
use super::isolated::TOOLS;
use super::names::NameMap;
use super::python_json::{Entries, Escape, Writer};
use crate::tokenizer::TokenId;
use crate::tool::{ToolSpec, flat};

/// The JSON of a tool list in the form the checkpoint was trained on: flat parameters, the caller's names.
///
/// A definition that is flat already is taken as it was written.
pub fn tools_json(tools: &[ToolSpec]) -> String {
    let flat = tools.iter().map(|tool| {
        let parameters = tool.source.get("parameters").and_then(Value::as_object);
        let is_flat = parameters.is_some_and(|parameters| parameters.is_empty() || flat::is_flat(parameters));
        if is_flat && tool.source.get("name").is_some() {
            return tool.source.clone();
        }
        json!({"name": tool.name, "description": tool.description, "parameters": flat::fold(&tool.parameters)})
    });
    Value::Array(flat.collect()).to_string()
}

/// The tools' text as the encoder reads it, and the names in it.
///
/// Names become `snake_case`, the rest is serialised anew, compactly and in ASCII. Text that is not a JSON
/// list is returned as it is: the checkpoint reads any text.
pub fn normalise(tools: &str) -> (String, NameMap) {
    let unchanged = || (tools.to_owned(), NameMap::default());
    let Some(Document::List(items)) = Document::read(tools) else { return unchanged() };
    let names = NameMap::new(items.iter().filter_map(Item::name));
    let mut index = 0;
    let text = write_list(&items, |_| {
        index += 1;
        names.snake_name(index - 1)
    });
    text.map_or_else(unchanged, |text| (text, names.clone()))
}

/// A joint prompt in ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// `query <tools> tools`, at most as many as were asked for.
    pub ids: Vec<TokenId>,
    /// Whether the query or the tools did not fit and lost their end.
    pub is_cut: bool,
}

/// The encoder's input: the query, cut to `max_seq_len - 2` ids, `<tools>`, and what fits of the tools' text.
pub fn prompt(tokenizer: &impl TextEncoder, query: &str, tools: &str, max_seq_len: usize) -> Prompt {
    let mut ids = tokenizer.encode(query);
    let tools = tokenizer.encode(tools);
    let is_cut = ids.len() + 1 + tools.len() > max_seq_len;
    ids.truncate(max_seq_len.saturating_sub(2));
    ids.push(TOOLS);
    ids.extend(tools);
    ids.truncate(max_seq_len);
    Prompt { ids, is_cut }
}

/// The model's text with the callers' names put back, serialised anew.
///
/// In text that is not JSON, such as an answer that was cut off, the names alone are replaced.
pub fn restore(text: &str, names: &NameMap) -> String {
    let original = |name: &str| names.original(name);
    let restored = match Document::read(text) {
        Some(Document::List(items)) => write_list(&items, original),
        Some(Document::Single(item)) => {
            let mut writer = Writer { out: String::new(), escape: Escape::NonAscii };
            item.write(&mut writer, original).map(|()| writer.out)
        }
        None => None,
    };
    restored.unwrap_or_else(|| restore_in_text(text, names))
}

/// Replaces each known name that follows `"name":`.
fn restore_in_text(text: &str, names: &NameMap) -> String {
    const BEFORE: &str = "\"name\":\"";
    let mut writer = Writer { out: String::with_capacity(text.len()), escape: Escape::NonAscii };
    let mut rest = text;
    while let Some((kept, after)) = rest.split_once(BEFORE) {
        writer.out.push_str(kept);
        rest = after;
        let found = after.split_once('"').and_then(|(name, tail)| Some((names.original(name)?, tail)));
        match found {
            Some((original, tail)) => {
                writer.out.push_str("\"name\":");
                writer.string(original);
                rest = tail;
            }
            None => writer.out.push_str(BEFORE),
        }
    }
    writer.out + rest
}

/// A text of one call or definition, or of a list of them.
enum Document<'a> {
    List(Vec<Item<'a>>),
    Single(Item<'a>),
}

impl<'a> Document<'a> {
    fn read(text: &'a str) -> Option<Self> {
        if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) {
            return Some(Self::List(items.into_iter().map(Item::read).collect()));
        }
        serde_json::from_str::<&RawValue>(text).ok().map(|raw| Self::Single(Item::read(raw)))
    }
}

/// A value that may be an object with a name.
struct Item<'a> {
    raw: &'a RawValue,
    named: Option<(String, Entries<'a>)>,
}

impl<'a> Item<'a> {
    fn read(raw: &'a RawValue) -> Self {
        let entries = serde_json::from_str::<Entries>(raw.get()).ok();
        let named = entries.and_then(|entries| {
            let name = serde_json::from_str(entries.get("name")?.get()).ok()?;
            Some((name, entries))
        });
        Self { raw, named }
    }

    fn name(&self) -> Option<&str> {
        self.named.as_ref().map(|(name, _)| name.as_str())
    }

    /// Writes the value, with the name that `rename` gives for its own.
    fn write<'n>(&self, writer: &mut Writer, rename: impl FnOnce(&str) -> Option<&'n str>) -> Option<()> {
        let Some((name, entries)) = &self.named else { return writer.value(self.raw, 0) };
        let new_name = rename(name).unwrap_or(name).to_owned();
        writer.object(entries, |writer, key, value| {
            if key == "name" {
                writer.string(&new_name);
                return Some(());
            }
            writer.value(value, 1)
        })
    }
}

/// Writes a list in which every named item goes by the name that `rename` gives.
fn write_list<'n>(items: &[Item], mut rename: impl FnMut(&str) -> Option<&'n str>) -> Option<String> {
    let mut writer = Writer { out: String::new(), escape: Escape::NonAscii };
    writer.list(items, |writer, item| item.write(writer, &mut rename))?;
    Some(writer.out)
}
