//! Running labelled rows and comparing the answers: what `eval` and `calibrate` share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use needle_core::calibration::Features;
use needle_core::eval::{Judged, Row};
use needle_core::{Hooks, Model, Options};
use serde_json::Value;

use super::run::Runner;
use crate::{Outcome, files};

/// A judged row with what its confidence was computed from, if there was a whole answer.
pub(super) type Rated = (Judged, Option<Features>);

/// Runs every row of the files and compares.
pub(super) fn judge(
    files: &[PathBuf],
    limit: Option<usize>,
    tools: Option<&str>,
    model: &Arc<Model>,
    options: Options,
) -> Outcome<Vec<Rated>> {
    let mut rows = Vec::new();
    for file in files {
        rows.extend(read(file, limit)?);
    }
    if rows.is_empty() {
        return Err("there are no rows".into());
    }
    let mut runner = Runner::new(model, options)?;
    let bar = super::progress(rows.len());
    let mut judged = Vec::with_capacity(rows.len());
    for (origin, row) in rows {
        let own = if row.tools == Value::Null { None } else { Some(row.tools.to_string()) };
        let text = own.as_deref().or(tools);
        let outcome =
            text.ok_or("has no tools; add them to the row or give --tools".into()).and_then(|text| {
                let catalogue = runner.catalogue(text)?;
                let options = runner.options.clone();
                Ok(runner.session.decide_with(&catalogue, &row.query, &options, Hooks::default())?)
            });
        let outcome = outcome.map_err(|error: Box<dyn std::error::Error>| format!("{origin}: {error}"))?;
        judged.push((Judged::new(row, &outcome), outcome.features));
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(judged)
}

fn read(file: &Path, limit: Option<usize>) -> Outcome<Vec<(String, Row)>> {
    let origin = file.display().to_string();
    let lines = files::read_lines(file)?.into_iter().take(limit.unwrap_or(usize::MAX));
    lines
        .map(|(number, line)| Ok((format!("{origin}, line {number}"), Row::parse(&origin, number, &line)?)))
        .collect()
}
