//! Which parts a text has at all, before anybody asks what they mean.

use super::{
    Reading, parse,
    tree::{Map, Value},
};

/// The parts of one document.
#[derive(Debug)]
pub struct Outline {
    root: Map,
    /// The whole document is `{}`.
    is_empty_map: bool,
    /// It has parts for profiles that are not active.
    has_others: bool,
}

impl Outline {
    /// Looks at a document, as far as it is for the active profiles; `None` when it is not well formed, which reading it will tell.
    pub fn of(name: &str, text: &str, reading: &Reading) -> Option<Self> {
        let (mut total, mut problems) = Default::default();
        let read = parse::parse(&name.into(), text, reading, &mut total, &mut problems).ok()?;
        let (root, has_others) = (read.root, read.has_others);
        // Only a map in braces is empty and written.
        let code = |line: &str| line.split('#').next().is_some_and(|code| code.contains('{'));
        let is_empty_map = root.entries().next().is_none() && text.lines().any(code);
        Some(Self { root, is_empty_map, has_others })
    }

    /// Whether it says nothing: blank, comments, or keys without values. An explicit `{}` or `[]` says something: that there
    /// is nothing; and so does a part for another profile, to others.
    pub fn is_blank(&self) -> bool {
        !self.is_empty_map && !self.has_others && !self.root.entries().any(|(_, node)| is_stated(&node.value))
    }

    /// Whether there is a value in it anywhere.
    pub fn has_values(&self) -> bool {
        self.root.entries().any(|(_, node)| has_values(&node.value))
    }

    /// Whether something is written under a dotted key, be it `{}` or `[]`.
    pub fn states(&self, key: &str) -> bool {
        self.root.find(key).is_some_and(|node| is_stated(&node.value))
    }

    /// Whether there is a value anywhere under a dotted key.
    pub fn has(&self, key: &str) -> bool {
        self.root.find(key).is_some_and(|node| has_values(&node.value))
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

    fn of(text: &str) -> Option<Outline> {
        Outline::of("a.yaml", text, &Reading::default())
    }

    #[test]
    fn blank_is_what_nobody_has_written() {
        for text in ["", "\n\n", "# {}\n", "---\n", "~", "null", "a:\n", "a: ''\nb: ~", "a:\n  b:\n", "--- # {\n..."] {
            let outline = of(text).unwrap_or_else(|| panic!("{text:?}"));
            assert!(outline.is_blank() && !outline.has_values(), "{text:?}");
        }
        for (text, has_values) in
            [("{}", false), ("---\n{ } # none", false), ("a: {}", false), ("a: []", false), ("a.b: 1", true)]
        {
            let outline = of(text).unwrap_or_else(|| panic!("{text:?}"));
            assert!(!outline.is_blank(), "{text:?}");
            assert_eq!(outline.has_values(), has_values, "{text:?}");
        }
        assert!(of("a: [").is_none() && of("a\0: 1").is_none());
    }

    #[test]
    fn parts_are_found_by_relaxed_dotted_names() {
        let outline = of("spring.cloud:\n  gateWay: { routes: [], filters: [x] }\ngray:\nx: 1").expect("good");
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
