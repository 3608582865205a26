//! From YAML events to the tree. Iterative and bounded, so that no document can exhaust stack or memory.

use std::{collections::HashMap, sync::Arc};

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::{
    Problem, Severity,
    assembly::{Assembly, MAX_DEPTH, MAX_KEY, duplicate},
    problem::shown,
    size::Size,
    slip,
    tree::{Map, Node, Scalar, Value, relaxed},
};

/// Reads a text into an assembly; `---` separates its parts. `language` is what messages call it.
///
/// What leaves the rest readable goes to the problems; the first thing that does not is the error.
pub(super) fn read(text: &str, language: &str, assembly: &mut Assembly<'_>) -> Result<(), Problem> {
    let (frames, anchors) = Default::default();
    let mut builder = Builder { written: text, assembly, frames, anchors };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => builder.event(event, line(span.start.line()))?,
            Err(error) => {
                let at = error.marker();
                // The scanner has a limit of its own, on brackets it reads ahead of us.
                if error.info().contains("recursion limit") {
                    return Err(builder.assembly.too_deep(line(at.line())));
                }
                let (line, message) = match slip::find(text, line(at.line())) {
                    Some((line, slip)) => (line, format!("not valid {language}: {slip}")),
                    None => (
                        line(at.line()),
                        format!("not valid {language} at column {}: {}", at.col() + 1, shown(error.info())),
                    ),
                };
                return Err(builder.assembly.fatal(line, &message));
            }
        }
    }
    Ok(())
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

struct Builder<'b, 'a> {
    /// The whole text.
    written: &'b str,
    assembly: &'b mut Assembly<'a>,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Built>,
}

impl Builder<'_, '_> {
    fn event(&mut self, event: Event<'_>, line: u32) -> Result<(), Problem> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let force_text = self.check_tag(tag.as_deref(), line)?;
                let size = Size::of(&text);
                self.assembly.count(size, line)?;
                let text: Arc<str> = text.as_ref().into();
                let is_null = !force_text
                    && style == ScalarStyle::Plain
                    && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL");
                let value = if is_null { Value::Missing } else { Value::Scalar(Scalar::new(Arc::clone(&text))) };
                let node = Node { origin: self.assembly.origin(line), value };
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
                    return Err(self.assembly.fatal(line, "an alias inside the very value it stands for"));
                };
                let size = built.size;
                // Counted before it is copied, or a few lines could expand to gigabytes.
                self.assembly.count(size, line)?;
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
                Err(self.assembly.fatal(line, &format!("the tag `{tag}` is not supported; write a plain value")))
            }
        }
    }

    fn open(&mut self, content: Content, anchor: usize, tag: Option<&Tag>, line: u32) -> Result<(), Problem> {
        self.check_tag(tag, line)?;
        let before = self.assembly.size();
        self.assembly.count(Size::NODE, line)?;
        if self.frames.len() >= MAX_DEPTH {
            return Err(self.assembly.too_deep(line));
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
        let node = Node { origin: self.assembly.origin(frame.line), value };
        let size = self.assembly.size().since(frame.before);
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
                self.assembly.report(
                    Severity::Error,
                    node.origin.line,
                    "<<",
                    "expected a map, or a list of maps".into(),
                );
            }
        }
    }

    fn finish(&mut self, built: Built, anchor: usize, line: u32) -> Result<(), Problem> {
        // 0 stands for "no anchor".
        if anchor > 0 {
            // The copy counts: anchors around anchors would hold the same values many times over.
            self.assembly.count(built.size, line)?;
            self.anchors.insert(anchor, built.clone());
        }
        self.attach(built, line)
    }

    /// Puts a finished node where it belongs.
    fn attach(&mut self, built: Built, line: u32) -> Result<(), Problem> {
        let depth = self.frames.len();
        let Some(frame) = self.frames.last_mut() else { return self.root(built, line) };
        if depth + built.height > MAX_DEPTH {
            return Err(self.assembly.too_deep(line));
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
                        Err(self.assembly.fatal(line, slip::ODD_SPACE))
                    }
                    Some(text) if text.len() > MAX_KEY => Err(self
                        .assembly
                        .fatal(line, &format!("the key `{}` has more than {MAX_KEY} bytes", shown(&text)))),
                    Some(text) => {
                        *key = Some(Key { text, line });
                        Ok(())
                    }
                    None => Err(self.assembly.fatal(line, "a list or a map cannot be a key; write a text")),
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
                self.assembly.end_part(map);
                Ok(())
            }
            list @ Value::List(_) if self.assembly.list_key().is_some() => {
                let (key, mut part) = (self.assembly.list_key().unwrap_or_default(), Map::default());
                self.assembly.put(&mut part, key, line, list, 1)?;
                self.assembly.end_part(part);
                Ok(())
            }
            _ if slip::is_properties(self.written) => Err(self
                .assembly
                .fatal(line, "this is a .properties document, and it is named as YAML: name it .properties")),
            other => Err(match slip::find(self.written, line) {
                Some((line, slip)) => self.assembly.fatal(line, &format!("not valid YAML: {slip}")),
                None => self.assembly.fatal(line, &format!("expected `key: value` lines, found {}", other.kind())),
            }),
        }
    }

    fn insert(&mut self, key: Key, built: Built) -> Result<(), Problem> {
        let depth = self.frames.len() + built.height;
        let Some(Frame { height, content: Content::Map { map, written, inherited, .. }, .. }) = self.frames.last_mut()
        else {
            return Ok(());
        };
        if &*key.text == "<<" {
            inherited.push(Node { origin: self.assembly.origin(key.line), value: built.node.value });
            *height = (*height).max(built.height);
            return Ok(());
        }
        if let Some(first) = written.insert(relaxed(&key.text).into_owned(), key.line) {
            self.assembly.report(Severity::Error, key.line, &key.text, duplicate(first));
            return Ok(());
        }
        let deeper = self.assembly.put(map, &key.text, key.line, built.node.value, depth)?;
        *height = (*height).max(built.height + deeper);
        Ok(())
    }
}
