//! Reading lines, plain or gzipped, and writing files that are never half there.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::Outcome;

/// Longest line of a data file and longest text file, in bytes.
const LIMIT: u64 = 64 << 20;

/// A whole text file.
pub(crate) fn read_text(path: &Path) -> Outcome<String> {
    let mut bytes = Vec::new();
    open(path)?.take(LIMIT + 1).read_to_end(&mut bytes).map_err(|error| at(path, &error))?;
    if bytes.len() as u64 > LIMIT {
        return Err(at(path, &format!("is larger than {LIMIT} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| at(path, &"is not UTF-8 text"))
}

/// The lines of a data file that are not blank, with their numbers from 1; `.gz` files are unpacked.
pub(crate) fn read_lines(path: &Path) -> Outcome<Vec<(usize, String)>> {
    let file = open(path)?;
    let reader: Box<dyn Read> = if path.extension().is_some_and(|extension| extension == "gz") {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let mut reader = BufReader::new(reader);
    let mut lines = Vec::new();
    for number in 1.. {
        match next_line(&mut reader).map_err(|error| at(path, &format!("line {number}: {error}")))? {
            None => break,
            Some(line) if line.trim().is_empty() => {}
            Some(line) => lines.push((number, line)),
        }
    }
    Ok(lines)
}

/// The next line without its end, `None` at the end of the file. A line that is not UTF-8 is an error of kind
/// `InvalidData`, after which the next line can be read.
pub(crate) fn next_line(reader: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut bytes = Vec::new();
    if reader.take(LIMIT).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    if bytes.len() as u64 == LIMIT {
        return Err(std::io::Error::other(format!("is longer than {LIMIT} bytes")));
    }
    while matches!(bytes.last(), Some(b'\n' | b'\r')) {
        bytes.pop();
    }
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, "is not UTF-8 text"))
}

/// Writes a file beside its place and renames it, so that an interrupted run leaves the old one.
pub(crate) fn write(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Outcome) -> Outcome {
    let name = path.file_name().ok_or_else(|| at(path, &"is no file name"))?;
    let temporary = path.with_file_name(format!(".{}.{}", name.display(), std::process::id()));
    let result = fill_file(&temporary, fill)
        .and_then(|()| std::fs::rename(&temporary, path).map_err(|error| at(path, &error)));
    if result.is_err() {
        // The first error is the one to report; there may be nothing to remove.
        let _ = std::fs::remove_file(&temporary);
    }
    result
}

fn fill_file(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Outcome) -> Outcome {
    let file = File::create_new(path).map_err(|error| at(path, &error))?;
    let mut writer = std::io::BufWriter::new(file);
    fill(&mut writer)?;
    let file = writer.into_inner().map_err(|error| at(path, error.error()))?;
    file.sync_all().map_err(|error| at(path, &error))
}

fn open(path: &Path) -> Outcome<File> {
    File::open(path).map_err(|error| at(path, &error))
}

fn at(path: &Path, problem: &dyn std::fmt::Display) -> Box<dyn std::error::Error> {
    format!("{}: {problem}", path.display()).into()
}
