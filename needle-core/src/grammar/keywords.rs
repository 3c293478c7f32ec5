//! What the grammar does with each keyword of a schema.

use serde_json::Value;

/// Bytes of one regular expression that the grammar takes.
const MAX_PATTERN_BYTES: usize = 1000;

/// Keywords that the grammar follows (its compiler refuses some of their uses).
const FOLLOWED: [&str; 26] = [
    "$ref",
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "required",
];
/// Keywords that only validation looks at.
const LEFT_TO_VALIDATION: [&str; 10] = [
    "contains",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "if",
    "not",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
];
/// Formats that the grammar follows; of `email` and `ipv6` not the rarest spellings (a quoted local part, an
/// IPv4 tail).
const FORMATS: [&str; 10] =
    ["date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"];
/// Formats that validation knows and the grammar does not; one that neither knows is an annotation.
const FORMATS_LEFT_TO_VALIDATION: [&str; 7] = [
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "uri-reference",
    "uri-template",
];

/// What becomes of a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    /// The grammar follows it.
    Follow,
    /// It asserts nothing.
    Annotation,
    /// The grammar lets more through; validation catches it.
    LeaveToValidation(&'static str),
    /// Nothing sound can be done with it.
    Refuse(&'static str),
}

/// What becomes of `keyword` with this value; `sibling` gives another keyword of the schema.
pub(super) fn treatment<'a>(
    keyword: &str,
    value: &Value,
    sibling: impl Fn(&str) -> Option<&'a Value>,
) -> Treatment {
    const AFTERWARDS: &str = "is checked only when the call is complete";
    match keyword {
        "$dynamicRef" | "$recursiveRef" => {
            Treatment::Refuse("is resolved only while validating; use \"$ref\"")
        }
        "uniqueItems" if value == &Value::Bool(false) => Treatment::Annotation,
        // Beside a list of items it bounds the rest; elsewhere it means nothing and would hide prefixItems.
        "additionalItems" if !sibling("items").is_some_and(Value::is_array) => Treatment::Annotation,
        "format" => match value.as_str() {
            Some(format) if FORMATS.contains(&format) => Treatment::Follow,
            Some(format) if FORMATS_LEFT_TO_VALIDATION.contains(&format) => {
                Treatment::LeaveToValidation(AFTERWARDS)
            }
            Some(_) => Treatment::Annotation,
            None => Treatment::Follow,
        },
        "pattern" if value.as_str().is_some_and(|pattern| pattern.len() > MAX_PATTERN_BYTES) => {
            Treatment::LeaveToValidation("is so long that it is checked only when the call is complete")
        }
        "type" => Treatment::Follow,
        _ if LEFT_TO_VALIDATION.contains(&keyword) => Treatment::LeaveToValidation(AFTERWARDS),
        _ if FOLLOWED.contains(&keyword) => Treatment::Follow,
        _ => Treatment::Annotation,
    }
}

/// Keywords without which a schema only lets more through (see `prepare::leave_out`); the grammar does without
/// one that its compiler cannot take.
pub(super) fn can_be_left_out(keyword: &str) -> bool {
    matches!(
        keyword,
        "exclusiveMaximum"
            | "exclusiveMinimum"
            | "format"
            | "maxItems"
            | "maxLength"
            | "maxProperties"
            | "maximum"
            | "minItems"
            | "minLength"
            | "minProperties"
            | "minimum"
            | "multipleOf"
            | "oneOf"
            | "pattern"
            | "patternProperties"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_keyword_has_one_treatment() {
        let items = json!([]);
        let alone = |keyword: &str, value: Value| treatment(keyword, &value, |_| None);
        assert_eq!(alone("format", json!("date")), Treatment::Follow);
        assert_eq!(alone("format", json!("int32")), Treatment::Annotation);
        assert!(matches!(alone("format", json!("iri")), Treatment::LeaveToValidation(_)));
        assert!(matches!(alone("pattern", json!("a".repeat(1001))), Treatment::LeaveToValidation(_)));
        assert_eq!(alone("uniqueItems", json!(false)), Treatment::Annotation);
        assert!(matches!(alone("uniqueItems", json!(true)), Treatment::LeaveToValidation(_)));
        assert_eq!(alone("additionalItems", json!(false)), Treatment::Annotation);
        assert_eq!(treatment("additionalItems", &json!(false), |_| Some(&items)), Treatment::Follow);
        assert!(matches!(alone("$dynamicRef", json!("#")), Treatment::Refuse(_)));
        assert_eq!(alone("description", json!("")), Treatment::Annotation);
    }
}
