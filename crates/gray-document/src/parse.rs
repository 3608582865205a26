//! From the text of a document to the tree, whatever its format. Bounded, so that no document can exhaust stack or memory.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use super::{
    Problem, Problems, Reading, Severity,
    assembly::{Assembly, Parsed},
    encoding, json,
    properties::{self, entries},
    size::{Size, Total},
    slip,
    tree::{Map, Scalar, Value, relaxed},
    yaml,
};

/// Largest document, in bytes.
const MAX_TEXT: usize = 1 << 20;

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Yaml,
    Properties,
    Json,
}

impl Format {
    /// By the extension of its name (`NAME.EXT`, `NAME.EXT@GROUP`, a path); where that says nothing, by what the text looks like.
    fn of(name: &str, text: &str) -> Self {
        let name = name.rsplit('/').next().unwrap_or(name);
        let name = name.split_once('@').map_or(name, |(name, _)| name);
        let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
        match extension.as_deref() {
            Some("yaml" | "yml") => Self::Yaml,
            Some("properties") => Self::Properties,
            Some("json") => Self::Json,
            _ if text.trim_start().starts_with(['{', '[']) => Self::Json,
            _ if slip::is_properties(text) => Self::Properties,
            _ => Self::Yaml,
        }
    }
}

/// Reads one document; of its parts those that are for the active profiles, of which later ones win.
///
/// What leaves the rest readable goes to `problems`; the first thing that does not is the error.
pub(super) fn parse(
    document: &Arc<str>,
    text: &str,
    reading: &Reading,
    total: &mut Total,
    problems: &mut Problems,
) -> Result<Parsed, Problem> {
    let mut assembly = Assembly::new(document, reading, total, problems);
    if text.len() > MAX_TEXT {
        let message = format!("the document has {} bytes; at most {MAX_TEXT} (1 MiB) are read", text.len());
        return Err(assembly.fatal(0, &message));
    }
    if let Some((line, message)) = encoding::fault(text) {
        return Err(assembly.fatal(line, &message));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match Format::of(document, text) {
        Format::Yaml => yaml::read(text, "YAML", &mut assembly)?,
        Format::Json => yaml::read(&json::as_yaml(text), "JSON", &mut assembly)?,
        Format::Properties => read_properties(text, &mut assembly)?,
    }
    Ok(assembly.into_parsed())
}

/// An entry of a properties document, before it is put in its place.
struct Property {
    key: Arc<str>,
    value: Arc<str>,
    line: u32,
}

fn read_properties(text: &str, assembly: &mut Assembly<'_>) -> Result<(), Problem> {
    if let Some(line) = slip::yaml_line(text) {
        return Err(assembly.fatal(line, "this is YAML, and the document is named as .properties: name it .yaml"));
    }
    // As in YAML: expressly nothing.
    if text.trim() == "{}" {
        return Ok(());
    }
    let (mut part, mut known): (Vec<Property>, HashMap<String, usize>) = Default::default();
    for entry in entries(text) {
        let (key, value, line) = match entry.map_err(|(line, reason)| assembly.fatal(line, &reason))? {
            properties::Entry::Value { key, value, line } => (key, value, line),
            properties::Entry::EndOfPart => {
                known.clear();
                end_part(std::mem::take(&mut part), assembly)?;
                continue;
            }
        };
        assembly.count(Size::of(&key).plus(Size::of(&value)), line)?;
        let property = Property { key: key.as_ref().into(), value: value.as_ref().into(), line };
        match known.entry(relaxed(&key).into_owned()) {
            Entry::Vacant(place) => {
                place.insert(part.len());
                part.push(property);
            }
            // As in Java: the last one counts.
            Entry::Occupied(place) => {
                let before = std::mem::replace(&mut part[*place.get()], property);
                let message = format!("set again in line {line}, and that counts; remove one");
                assembly.report(Severity::Warning, before.line, &before.key, message);
            }
        }
    }
    end_part(part, assembly)
}

fn end_part(part: Vec<Property>, assembly: &mut Assembly<'_>) -> Result<(), Problem> {
    let mut map = Map::default();
    for Property { key, value, line } in part {
        let value = match &*value {
            "" => Value::Missing,
            // There is no other way to write that there is nothing.
            "[]" => Value::List(Vec::new()),
            "{}" => Value::Map(Map::default()),
            _ => Value::Scalar(Scalar::new(value)),
        };
        assembly.put(&mut map, &key, line, value, 1)?;
    }
    assembly.end_part(map);
    Ok(())
}
