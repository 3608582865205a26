//! Which parts a text has at all, before anybody asks what they mean.

use super::{
    Problems, parse,
    size::Total,
    tree::{Map, Node, Value},
};

/// The parts of one document.
#[derive(Debug)]
pub struct Outline {
    root: Map,
    /// The whole document is `{}`.
    is_empty_map: bool,
}

impl Outline {
    /// Looks at a text; `None` when it is not well formed, which reading it will tell.
    pub fn of(text: &str) -> Option<Self> {
        let root = parse::parse(&"".into(), text, &mut Total::default(), &mut Problems::default()).ok()?;
        // Only a map in braces is empty and written.
        let code = |line: &str| line.split('#').next().is_some_and(|code| code.contains('{'));
        let is_empty_map = root.entries().next().is_none() && text.lines().any(code);
        Some(Self { root, is_empty_map })
    }

    /// Whether it says nothing: blank, comments, or keys without values. An explicit `{}` or `[]` says something: that there
    /// is nothing.
    pub fn is_blank(&self) -> bool {
        !self.is_empty_map && !self.root.entries().any(|(_, node)| is_stated(&node.value))
    }

    /// Whether there is a value in it anywhere.
    pub fn has_values(&self) -> bool {
        self.root.entries().any(|(_, node)| has_values(&node.value))
    }

    /// Whether something is written under a dotted key, be it `{}` or `[]`.
    pub fn states(&self, key: &str) -> bool {
        self.find(key).is_some_and(|node| is_stated(&node.value))
    }

    /// Whether there is a value anywhere under a dotted key.
    pub fn has(&self, key: &str) -> bool {
        self.find(key).is_some_and(|node| has_values(&node.value))
    }

    fn find(&self, key: &str) -> Option<&Node> {
        let mut segments = key.split('.');
        let first = self.root.get(segments.next()?)?.1;
        segments.try_fold(first, |node, segment| match &node.value {
            Value::Map(map) => map.get(segment).map(|(_, node)| node),
            _ => None,
        })
    }
}

fn is_stated(value: &Value) -> bool {
    match value {
        Value::Missing => false,
        Value::Scalar(scalar) => !scalar.raw().trim().is_empty(),
        Value::List(_) => true,
        Value::Map(map) => map.entries().next().is_none() || map.entries().any(|(_, node)| is_stated(&node.value)),
    }
}

fn has_values(value: &Value) -> bool {
    match value {
        Value::Missing => false,
        Value::Scalar(scalar) => !scalar.raw().trim().is_empty(),
        Value::List(items) => !items.is_empty(),
        Value::Map(map) => map.entries().any(|(_, node)| has_values(&node.value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_is_what_nobody_has_written() {
        for text in ["", "\n\n", "# {}\n", "---\n", "~", "null", "a:\n", "a: ''\nb: ~", "a:\n  b:\n", "--- # {\n..."] {
            let outline = Outline::of(text).unwrap_or_else(|| panic!("{text:?}"));
            assert!(outline.is_blank() && !outline.has_values(), "{text:?}");
        }
        for (text, has_values) in
            [("{}", false), ("---\n{ } # none", false), ("a: {}", false), ("a: []", false), ("a.b: 1", true)]
        {
            let outline = Outline::of(text).unwrap_or_else(|| panic!("{text:?}"));
            assert!(!outline.is_blank(), "{text:?}");
            assert_eq!(outline.has_values(), has_values, "{text:?}");
        }
        assert!(Outline::of("a: [").is_none() && Outline::of("a\0: 1").is_none());
    }

    #[test]
    fn parts_are_found_by_relaxed_dotted_names() {
        let outline = Outline::of("spring.cloud:\n  gateWay: { routes: [], filters: [x] }\ngray:\nx: 1").expect("good");
        for (key, states, has) in [
            ("spring.cloud.gateway.routes", true, false),
            ("spring.cloud.gateway.filters", true, true),
            ("spring.cloud.gateway", true, true),
            ("spring.cloud.gateway.route", false, false),
            ("gray", false, false),
            ("gray.rules", false, false),
            ("x", true, true),
            ("x.y", false, false),
        ] {
            assert_eq!((outline.states(key), outline.has(key)), (states, has), "{key}");
        }
    }
}
