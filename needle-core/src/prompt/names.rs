//! Tool names as the model reads and writes them.

use std::collections::HashMap;

use indexmap::IndexMap;

/// Folds a name to lower-case ASCII words joined by `_`, as the published checkpoint's training data did.
///
/// Everything but ASCII letters and digits separates words, and so does a change from lower to upper case;
/// of several capitals in a row the last begins a word if a small letter follows. May be empty.
///
/// ```
/// use needle_core::prompt::snake_case;
/// assert_eq!(snake_case("getHTTPResponse"), "get_http_response");
/// assert_eq!(snake_case("v2.listUsers"), "v2_list_users");
/// ```
pub fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut before = None::<char>;
    let mut rest = name.chars().peekable();
    while let Some(letter) = rest.next() {
        if !letter.is_ascii_alphanumeric() {
            before = None;
            continue;
        }
        let small_before = before.is_some_and(|before| !before.is_ascii_uppercase());
        let small_after = rest.peek().is_some_and(char::is_ascii_lowercase);
        let capital = letter.is_ascii_uppercase();
        let begins_word = before.is_none() || capital && (small_before || small_after);
        if begins_word && !out.is_empty() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
        before = Some(letter);
    }
    out
}

/// The names of a tool list in `snake_case`, each leading back to the caller's spelling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameMap {
    /// Original names by their `snake_case` name, in the order of the tools.
    originals: IndexMap<String, String>,
}

impl NameMap {
    /// Names a list of tools: a name that is taken gets `_2`, `_3` and so on, one that folds to nothing
    /// becomes `tool`.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut map = Self::default();
        let mut last_suffix: HashMap<String, usize> = HashMap::new();
        for name in names {
            let folded = snake_case(name);
            let base = if folded.is_empty() { "tool".to_owned() } else { folded };
            let suffix = last_suffix.entry(base.clone()).or_insert(1);
            let mut free = base.clone();
            while map.originals.contains_key(&free) {
                *suffix += 1;
                free = format!("{base}_{suffix}");
            }
            map.originals.insert(free, name.to_owned());
        }
        map
    }

    /// The caller's spelling of a `snake_case` name.
    pub fn original(&self, snake_name: &str) -> Option<&str> {
        self.originals.get(snake_name).map(String::as_str)
    }

    /// The `snake_case` name of the tool at this place in the list.
    pub fn snake_name(&self, index: usize) -> Option<&str> {
        self.originals.get_index(index).map(|(snake_name, _)| snake_name.as_str())
    }

    /// Pairs of `snake_case` name and original, in the order of the tools.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.originals.iter().map(|(snake_name, original)| (snake_name.as_str(), original.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taken_and_empty_names_are_numbered() {
        let names = ["a_b", "aB", "a_b_2", "A.B", "天気", "", "tool"];
        let map = NameMap::new(names);
        let snake: Vec<&str> = map.iter().map(|(snake_name, _)| snake_name).collect();
        assert_eq!(snake, ["a_b", "a_b_2", "a_b_2_2", "a_b_3", "tool", "tool_2", "tool_3"]);
        for (index, name) in names.into_iter().enumerate() {
            assert_eq!(map.snake_name(index).and_then(|snake_name| map.original(snake_name)), Some(name));
        }
        assert_eq!(map.original("c"), None);
    }

    #[test]
    fn ten_thousand_equal_names_are_quick() {
        let map = NameMap::new(std::iter::repeat_n("x", 10_000));
        assert_eq!(map.snake_name(9_999), Some("x_10000"));
    }
}
