//! From YAML events to the tree. Iterative and bounded, so that no document can exhaust stack or memory.

use std::{collections::HashMap, sync::Arc};

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::{
    Origin, Problem, Problems, Severity, encoding,
    problem::shown,
    size::{Size, Total},
    slip,
    tree::{Map, Node, Scalar, Value, relaxed},
};

/// Largest document, in bytes.
const MAX_TEXT: usize = 1 << 20;
/// Deepest nesting; the dots of a dotted key count.
const MAX_DEPTH: usize = 64;
/// Longest key, in bytes.
const MAX_KEY: usize = 512;

/// Reads one document; `---` separates parts, of which later ones win.
///
/// What leaves the rest readable goes to `problems`; the first thing that does not is the error.
pub(super) fn parse(
    document: &Arc<str>,
    text: &str,
    total: &mut Total,
    problems: &mut Problems,
) -> Result<Map, Problem> {
    let (frames, anchors, size, merged) = Default::default();
    let mut builder = Builder { document, written: text, problems, total, frames, anchors, size, merged };
    if text.len() > MAX_TEXT {
        let message = format!("the document has {} bytes; at most {MAX_TEXT} (1 MiB) are read", text.len());
        return Err(builder.problem(Severity::Error, 0, "", message));
    }
    if let Some((line, message)) = encoding::fault(text) {
        return Err(builder.problem(Severity::Error, line, "", message));
    }
    let mut parser = Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => builder.event(event, line(span.start.line()))?,
            Err(error) => {
                let at = error.marker();
                // The scanner has a limit of its own, on brackets it reads ahead of us.
                if error.info().contains("recursion limit") {
                    return Err(builder.too_deep(line(at.line())));
                }
                let (line, message) = match slip::find(text, line(at.line())) {
                    Some((line, slip)) => (line, format!("not valid YAML: {slip}")),
                    None => {
                        (line(at.line()), format!("not valid YAML at column {}: {}", at.col() + 1, shown(error.info())))
                    }
                };
                return Err(builder.problem(Severity::Error, line, "", message));
            }
        }
    }
    Ok(builder.merged)
}

fn line(line: usize) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

/// A finished node, with what the limits and keys need to know about it.
#[derive(Clone)]
struct Built {
    node: Node,
    /// Of a scalar: its text, which may turn out to be a key.
    text: Option<Arc<str>>,
    height: usize,
    size: Size,
}

struct Key {
    text: Arc<str>,
    line: u32,
}

#[expect(clippy::large_enum_variant, reason = "one per open level, of which there are few")]
enum Content {
    List(Vec<Node>),
    Map {
        map: Map,
        key: Option<Key>,
        /// Keys as written (dotted ones in one piece) and their lines.
        written: HashMap<String, u32>,
        /// What `<<` brings in.
        inherited: Vec<Node>,
    },
}

/// A list or map that is still open.
struct Frame {
    line: u32,
    anchor: usize,
    height: usize,
    /// What the document had come to before it was opened.
    before: Size,
    content: Content,
}

struct Builder<'b> {
    document: &'b Arc<str>,
    /// The whole text.
    written: &'b str,
    problems: &'b mut Problems,
    total: &'b mut Total,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Built>,
    size: Size,
    merged: Map,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, line: u32) -> Result<(), Problem> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let force_text = self.check_tag(tag.as_deref(), line)?;
                let size = Size::of(&text);
                self.count(size, line)?;
                let text: Arc<str> = text.as_ref().into();
                let is_null = !force_text
                    && style == ScalarStyle::Plain
                    && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL");
                let value = if is_null { Value::Missing } else { Value::Scalar(Scalar::new(Arc::clone(&text))) };
                let node = Node { origin: self.origin(line), value };
                self.finish(Built { node, text: Some(text), height: 0, size }, anchor, line)
            }
            Event::SequenceStart(anchor, tag) => self.open(Content::List(Vec::new()), anchor, tag.as_deref(), line),
            Event::MappingStart(anchor, tag) => {
                let map = Map::default();
                let content = Content::Map { map, key: None, written: HashMap::new(), inherited: Vec::new() };
                self.open(content, anchor, tag.as_deref(), line)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => {
                let Some(built) = self.anchors.get(&anchor) else {
                    return Err(self.fatal(line, "an alias inside the very value it stands for"));
                };
                let size = built.size;
                // Counted before it is copied, or a few lines could expand to gigabytes.
                self.count(size, line)?;
                match self.anchors.get(&anchor).cloned() {
                    Some(built) => self.attach(built, line),
                    None => Ok(()),
                }
            }
        }
    }

    /// True when the tag says that the value is a text, whatever it looks like.
    fn check_tag(&self, tag: Option<&Tag>, line: u32) -> Result<bool, Problem> {
        match tag {
            None => Ok(false),
            Some(tag) if tag.is_yaml_core_schema() => Ok(tag.suffix == "str"),
            // The non-specific tag.
            Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => Ok(true),
            Some(tag) => {
                let tag = shown(&tag.to_string());
                Err(self.fatal(line, &format!("the tag `{tag}` is not supported; write a plain value")))
            }
        }
    }

    fn count(&mut self, more: Size, line: u32) -> Result<(), Problem> {
        self.size = self.size.plus(more);
        self.total.add(self.size, more).map_err(|message| self.fatal(line, &message))
    }

    fn open(&mut self, content: Content, anchor: usize, tag: Option<&Tag>, line: u32) -> Result<(), Problem> {
        self.check_tag(tag, line)?;
        let before = self.size;
        self.count(Size::NODE, line)?;
        if self.frames.len() >= MAX_DEPTH {
            return Err(self.too_deep(line));
        }
        self.frames.push(Frame { line, anchor, height: 0, before, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Problem> {
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        let value = match frame.content {
            Content::List(items) => Value::List(items),
            Content::Map { mut map, inherited, .. } => {
                for node in inherited {
                    self.inherit(&mut map, node);
                }
                Value::Map(map)
            }
        };
        let node = Node { origin: self.origin(frame.line), value };
        let size = self.size.since(frame.before);
        self.finish(Built { node, text: None, height: frame.height + 1, size }, frame.anchor, frame.line)
    }

    /// `<<: *defaults`: keys that the map does not set itself.
    fn inherit(&mut self, map: &mut Map, node: Node) {
        match node.value {
            Value::Map(inherited) => {
                for (key, node) in inherited.entries() {
                    if map.get(key).is_none() {
                        map.insert(key, node.clone(), &mut |_, _, _| ());
                    }
                }
            }
            Value::List(items) => items.into_iter().for_each(|item| self.inherit(map, item)),
            Value::Missing | Value::Scalar(_) => {
                self.report(Severity::Error, node.origin.line, "<<", "expected a map, or a list of maps".into());
            }
        }
    }

    fn finish(&mut self, built: Built, anchor: usize, line: u32) -> Result<(), Problem> {
        // 0 stands for "no anchor".
        if anchor > 0 {
            // The copy counts: anchors around anchors would hold the same values many times over.
            self.count(built.size, line)?;
            self.anchors.insert(anchor, built.clone());
        }
        self.attach(built, line)
    }

    /// Puts a finished node where it belongs.
    fn attach(&mut self, built: Built, line: u32) -> Result<(), Problem> {
        let depth = self.frames.len();
        let Some(frame) = self.frames.last_mut() else { return self.root(built, line) };
        if depth + built.height > MAX_DEPTH {
            return Err(self.too_deep(line));
        }
        match &mut frame.content {
            Content::List(items) => {
                frame.height = frame.height.max(built.height);
                items.push(built.node);
                Ok(())
            }
            Content::Map { key, .. } => match key.take() {
                None => match built.text {
                    Some(text) if text.starts_with(|c: char| c.is_whitespace() && !c.is_ascii()) => {
                        Err(self.fatal(line, slip::ODD_SPACE))
                    }
                    Some(text) if text.len() > MAX_KEY => {
                        Err(self.fatal(line, &format!("the key `{}` has more than {MAX_KEY} bytes", shown(&text))))
                    }
                    Some(text) => {
                        *key = Some(Key { text, line });
                        Ok(())
                    }
                    None => Err(self.fatal(line, "a list or a map cannot be a key; write a text")),
                },
                Some(key) => self.insert(key, built),
            },
        }
    }

    fn root(&mut self, built: Built, line: u32) -> Result<(), Problem> {
        // A second part of the stream cannot use anchors of the first.
        self.anchors.clear();
        match built.node.value {
            Value::Missing => Ok(()),
            Value::Map(map) => {
                self.check_profile(&map);
                self.merged.overlay(map);
                Ok(())
            }
            _ if slip::is_properties(self.written) => {
                Err(self.fatal(line, "this is a .properties document: only YAML is read"))
            }
            other => Err(match slip::find(self.written, line) {
                Some((line, slip)) => self.fatal(line, &format!("not valid YAML: {slip}")),
                None => self.fatal(line, &format!("expected `key: value` lines, found {}", other.kind())),
            }),
        }
    }

    /// Spring uses such a part under some profiles only; to apply it always would be wrong, to skip it as well.
    fn check_profile(&mut self, map: &Map) {
        let below = |node: Option<(&Arc<str>, &Node)>, key: &str| match node {
            Some((_, Node { value: Value::Map(map), .. })) => map.get(key).map(|(_, node)| node.clone()),
            _ => None,
        };
        let config = below(map.get("spring"), "config").and_then(|node| match node.value {
            Value::Map(map) => map.get("activate").map(|(_, node)| node.origin.line),
            _ => None,
        });
        let profiles = below(map.get("spring"), "profiles")
            .filter(|node| matches!(node.value, Value::Scalar(_) | Value::List(_)))
            .map(|node| node.origin.line);
        for (line, path) in [(config, "spring.config.activate"), (profiles, "spring.profiles")] {
            if let Some(line) = line {
                let message = "parts of a document for one profile are not supported: publish only what holds for this environment";
                self.report(Severity::Error, line, path, message.into());
            }
        }
    }

    fn insert(&mut self, key: Key, built: Built) -> Result<(), Problem> {
        let origin = self.origin(key.line);
        let segments: Vec<Arc<str>> = if key.text.starts_with('[') {
            vec![Arc::clone(&key.text)]
        } else {
            key.text.split('.').map(Arc::from).collect()
        };
        let height = built.height + segments.len() - 1;
        if self.frames.len() + height > MAX_DEPTH {
            return Err(self.too_deep(key.line));
        }
        self.count(Size::nodes(segments.len() - 1), key.line)?;
        let (document, problems) = (self.document, &mut *self.problems);
        let mut report = |severity, line, path: &str, message| {
            let origin = Origin { document: Arc::clone(document), line };
            problems.push(Problem { severity, origin, path: shown(path), message });
        };
        let Some(Frame { height: frame_height, content: Content::Map { map, written, inherited, .. }, .. }) =
            self.frames.last_mut()
        else {
            return Ok(());
        };
        if &*key.text == "<<" {
            inherited.push(Node { origin, value: built.node.value });
            *frame_height = (*frame_height).max(height);
            return Ok(());
        }
        if segments.iter().any(|segment| segment.trim().is_empty()) {
            report(Severity::Error, key.line, &key.text, "a key, or a part of one between dots, is empty".into());
            return Ok(());
        }
        if let Some(first) = written.insert(relaxed(&key.text), key.line) {
            report(Severity::Error, key.line, &key.text, duplicate(first));
            return Ok(());
        }
        *frame_height = (*frame_height).max(height);
        let mut node = Node { origin: origin.clone(), value: built.node.value };
        for segment in segments[1..].iter().rev() {
            let mut map = Map::default();
            map.insert(segment, node, &mut |_, _, _| ());
            node = Node { origin: origin.clone(), value: Value::Map(map) };
        }
        map.insert(&segments[0], node, &mut |segment, old, new| match (&old.value, &new.value) {
            // Legal in Spring's flat world (`logging.level.a` beside `logging.level.a.b`), and nothing we read.
            (Value::Map(_), _) | (_, Value::Map(_)) => {
                let message =
                    format!("has a value and keys below it (line {}); only the first is used", old.origin.line);
                report(Severity::Warning, new.origin.line, segment, message);
            }
            _ => report(Severity::Error, new.origin.line, segment, duplicate(old.origin.line)),
        });
        Ok(())
    }

    fn origin(&self, line: u32) -> Origin {
        Origin { document: Arc::clone(self.document), line }
    }

    fn problem(&self, severity: Severity, line: u32, path: &str, message: String) -> Problem {
        Problem { severity, origin: self.origin(line), path: path.into(), message }
    }

    fn report(&mut self, severity: Severity, line: u32, path: &str, message: String) {
        let problem = self.problem(severity, line, path, message);
        self.problems.push(problem);
    }

    fn fatal(&self, line: u32, message: &str) -> Problem {
        self.problem(Severity::Error, line, "", message.into())
    }

    fn too_deep(&self, line: u32) -> Problem {
        self.fatal(line, &format!("nested more than {MAX_DEPTH} deep"))
    }
}

fn duplicate(first: u32) -> String {
    format!("duplicate key: already set at line {first} (case, `-` and `_` make no difference); remove one")
}
