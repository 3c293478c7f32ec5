//! Tool lists as options: a file, or the JSON itself.

use std::path::Path;

use crate::{Outcome, files};

/// The JSON of a tool list: text that begins with a bracket or a brace is the list itself.
pub(crate) fn text(argument: &str) -> Outcome<String> {
    if argument.trim_start().starts_with(['[', '{']) {
        return Ok(argument.to_owned());
    }
    files::read_text(Path::new(argument))
}
