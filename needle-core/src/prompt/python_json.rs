//! JSON as Python's `json.dumps(…, separators=(",", ":"))` writes it: the training data's serialiser.
//!
//! Works on text, not on parsed values, because integers of any length keep their digits in Python.

use indexmap::IndexMap;
use serde_json::value::RawValue;

/// Deepest nesting written, as deep as `serde_json` reads; keeps the stack small.
const MAX_DEPTH: usize = 128;

/// What to do with characters outside ASCII.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Escape {
    /// `ensure_ascii=True`: written as `\uXXXX`.
    NonAscii,
    /// `ensure_ascii=False`: kept.
    Controls,
}

/// An object's entries, values unread; a repeated key keeps its first place and its last value, as in Python.
pub(super) type Entries<'a> = IndexMap<String, &'a RawValue>;

/// Rewrites a JSON text; `None` if it is not JSON or nested too deeply.
pub(super) fn compact(json: &str, escape: Escape) -> Option<String> {
    let mut writer = Writer { out: String::with_capacity(json.len()), escape };
    writer.value(serde_json::from_str(json).ok()?, 0)?;
    Some(writer.out)
}

/// The text written so far.
pub(super) struct Writer {
    pub(super) out: String,
    pub(super) escape: Escape,
}

impl Writer {
    /// Writes a value that stands `depth` levels deep.
    pub(super) fn value(&mut self, raw: &RawValue, depth: usize) -> Option<()> {
        if depth >= MAX_DEPTH {
            return None;
        }
        let text = raw.get();
        match text.as_bytes().first()? {
            b'{' => {
                let entries: Entries = serde_json::from_str(text).ok()?;
                self.object(&entries, |writer, _, value| writer.value(value, depth + 1))?;
            }
            b'[' => {
                let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
                self.list(&items, |writer, item| writer.value(item, depth + 1))?;
            }
            b'"' => self.string(&serde_json::from_str::<String>(text).ok()?),
            b't' | b'f' | b'n' => self.out.push_str(text),
            _ => self.number(text)?,
        }
        Some(())
    }

    /// Writes a list; `item` writes each of its values.
    pub(super) fn list<T>(
        &mut self,
        items: &[T],
        mut item: impl FnMut(&mut Self, &T) -> Option<()>,
    ) -> Option<()> {
        self.out.push('[');
        for (index, value) in items.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            item(self, value)?;
        }
        self.out.push(']');
        Some(())
    }

    /// Writes an object; `value` writes what belongs to each key.
    pub(super) fn object(
        &mut self,
        entries: &Entries,
        mut value: impl FnMut(&mut Self, &str, &RawValue) -> Option<()>,
    ) -> Option<()> {
        self.out.push('{');
        for (index, (key, raw)) in entries.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.string(key);
            self.out.push(':');
            value(self, key, raw)?;
        }
        self.out.push('}');
        Some(())
    }

    /// Writes a string in quotes.
    pub(super) fn string(&mut self, text: &str) {
        self.out.push('"');
        for letter in text.chars() {
            match letter {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                ' '..='~' => self.out.push(letter),
                _ if letter >= ' ' && self.escape == Escape::Controls => self.out.push(letter),
                _ => {
                    for unit in letter.encode_utf16(&mut [0; 2]) {
                        self.out.push_str("\\u");
                        for shift in [12, 8, 4, 0] {
                            self.out.extend(char::from_digit(u32::from(*unit >> shift & 0xf), 16));
                        }
                    }
                }
            }
        }
        self.out.push('"');
    }

    /// Writes a number: integers digit by digit, others as Python's `repr`.
    fn number(&mut self, text: &str) -> Option<()> {
        if text == "-0" {
            self.out.push('0');
        } else if text.contains(['.', 'e', 'E']) {
            self.out.push_str(&repr(text.parse().ok()?)?);
        } else {
            self.out.push_str(text);
        }
        Some(())
    }
}

/// The shortest decimal text that reads back as the same float, in Python's layout.
///
/// Fixed notation from 1e-4 up to below 1e16, otherwise an exponent of at least two digits.
fn repr(number: f64) -> Option<String> {
    if number.is_infinite() {
        return Some(if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned());
    }
    // Rust's `{:e}` has the same shortest digits: "-1.25e-7".
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    if (-4..16).contains(&exponent) {
        let fixed = number.to_string();
        return Some(if fixed.contains('.') { fixed } else { fixed + ".0" });
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    Some(format!("{mantissa}e{sign}{:02}", exponent.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each right side is what Python 3 prints for `json.dumps(json.loads(left), separators=(",", ":"))`.
    #[test]
    fn numbers_and_strings_are_written_as_python_does() {
        for (json, python) in [
            ("1.50", "1.5"),
            ("1e2", "100.0"),
            ("-0.0", "-0.0"),
            ("-0", "0"),
            ("1e15", "1000000000000000.0"),
            ("1e16", "1e+16"),
            ("123456789012345680.0", "1.2345678901234568e+17"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("1.25E-7", "1.25e-07"),
            ("5e-324", "5e-324"),
            ("1e400", "Infinity"),
            ("0.1", "0.1"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("-18446744073709551616", "-18446744073709551616"),
            (r#" [ 1 , { "a" : null , "b":true, "a": 2 } ] "#, r#"[1,{"a":2,"b":true}]"#),
            (r#""a\/b\u00e9🎉\u007f\u0001\b""#, r#""a/b\u00e9\ud83c\udf89\u007f\u0001\b""#),
            ("{}", "{}"),
            ("[[],{}]", "[[],{}]"),
        ] {
            assert_eq!(compact(json, Escape::NonAscii).as_deref(), Some(python), "{json}");
        }
        assert_eq!(compact("\"é\u{7f}\\u0002\"", Escape::Controls).as_deref(), Some("\"é\u{7f}\\u0002\""));
    }

    #[test]
    fn what_is_not_json_or_too_deep_gives_nothing() {
        for json in
            ["", "nope", "[1", "1 2", r#""\ud800""#, &"[".repeat(200), &("[".repeat(200) + &"]".repeat(200))]
        {
            assert_eq!(compact(json, Escape::NonAscii), None, "{json}");
        }
        let deepest = "[".repeat(128) + &"]".repeat(128);
        assert_eq!(compact(&deepest, Escape::NonAscii), Some(deepest));
    }
}
