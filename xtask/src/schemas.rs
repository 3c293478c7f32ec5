//! JSON Schemas of the types that users write or read, made from the Rust types.

use std::path::Path;

use needle_core::calibration::Calibration;
use needle_core::checkpoint::config::ModelConfig;
use needle_core::{Decision, Options, Policy};
use schemars::schema_for;

/// File names and contents.
fn all() -> Result<Vec<(&'static str, String)>, String> {
    let schemas = [
        ("calibration.schema.json", schema_for!(Calibration)),
        ("config.schema.json", schema_for!(ModelConfig)),
        ("decision.schema.json", schema_for!(Decision)),
        ("options.schema.json", schema_for!(Options)),
        ("policy.schema.json", schema_for!(Policy)),
    ];
    schemas
        .into_iter()
        .map(|(name, schema)| {
            let text = serde_json::to_string_pretty(&schema).map_err(|error| format!("{name}: {error}"))?;
            Ok((name, format!("{text}\n")))
        })
        .collect()
}

pub(crate) fn write(folder: &Path) -> Result<(), String> {
    for (name, text) in all()? {
        std::fs::write(folder.join(name), text).map_err(|error| format!("schemas/{name}: {error}"))?;
    }
    Ok(())
}

/// Fails if a file is not what the types say.
pub(crate) fn check(folder: &Path) -> Result<(), String> {
    for (name, text) in all()? {
        if std::fs::read_to_string(folder.join(name)).ok() != Some(text) {
            return Err(format!("schemas/{name} is not current; run `cargo xtask schemas`"));
        }
    }
    Ok(())
}
