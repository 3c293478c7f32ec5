//! How far the grammar follows a tool's schema.

/// A keyword of a schema that the grammar does not follow.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct SchemaProblem {
    /// The keyword, such as `uniqueItems`; `schema` for the schema as a whole.
    pub keyword: String,
    /// JSON pointer to the keyword in the parameters' schema; empty for the whole schema.
    pub pointer: String,
    /// What is wrong or left out, and what to do.
    pub why: String,
}

impl SchemaProblem {
    /// A problem of what stands at `pointer`: a keyword, something in its value, or a schema.
    pub(crate) fn at(pointer: impl Into<String>, why: impl Into<String>) -> Self {
        let pointer = pointer.into();
        Self { keyword: super::refs::keyword_at(&pointer).into(), pointer, why: why.into() }
    }

    /// A problem of `keyword` in the subschema at `parent`.
    pub(crate) fn of(parent: &str, keyword: &str, why: impl Into<String>) -> Self {
        let pointer = format!("{parent}/{}", super::refs::escaped(keyword));
        Self { keyword: keyword.into(), pointer, why: why.into() }
    }
}

impl std::fmt::Display for SchemaProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} at {:?}: {}", self.keyword, self.pointer, self.why)
    }
}

/// What the grammar makes of a tool's schema.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "level", content = "problems")]
pub enum Support {
    /// The grammar follows every keyword.
    Exact,
    /// The grammar lets more through than the schema because of these keywords; validation catches it, and a
    /// call that fails it is handed off.
    Lenient(Vec<SchemaProblem>),
    /// The tool cannot be called because of this keyword.
    Refused(SchemaProblem),
}
