//! Which routes can match a path at all: found by the path's leading segments, however many routes there are.

use std::{borrow::Borrow, collections::HashMap};

use super::pattern::segments;

/// Nodes are literal segments; each lists the routes whose literal beginning ends there, in order.
#[derive(Debug)]
pub(super) struct Trie(Vec<Node>);

#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<str>, usize>,
    candidates: Vec<usize>,
}

impl Default for Trie {
    fn default() -> Self {
        Self(vec![Node::default()])
    }
}

impl Trie {
    /// Adds a route under its literal segments. Routes come in order.
    pub(super) fn insert<'s>(&mut self, literals: impl IntoIterator<Item = &'s str>, route: usize) {
        let mut at = 0;
        for literal in literals {
            let next = self.0.len();
            let Some(node) = self.0.get_mut(at) else { return };
            at = *node.children.entry(literal.into()).or_insert(next);
            if at == next {
                self.0.push(Node::default());
            }
        }
        if let Some(node) = self.0.get_mut(at)
            && node.candidates.last() != Some(&route)
        {
            node.candidates.push(route);
        }
    }

    /// Visits every list of candidates along the path, the general ones first.
    pub(super) fn walk(&self, path: &str, mut visit: impl FnMut(&[usize])) {
        let mut node = self.0.first();
        let mut segments = segments(path);
        while let Some(here) = node {
            if !here.candidates.is_empty() {
                visit(&here.candidates);
            }
            if here.children.is_empty() {
                return;
            }
            let Some(segment) = segments.next() else { return };
            let key: &str = segment.borrow();
            node = here.children.get(key).and_then(|&child| self.0.get(child));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visits_what_can_match_and_nothing_else() {
        let mut trie = Trie::default();
        trie.insert(["a", "b"], 0);
        trie.insert(["a"], 1);
        trie.insert([], 2);
        trie.insert(["a", "b"], 3);
        trie.insert(["a", "b"], 3);
        trie.insert(["x"], 4);
        for (path, expect) in [
            ("/a/b/c", &[&[2][..], &[1], &[0, 3]][..]),
            ("/a/%62", &[&[2], &[1], &[0, 3]]),
            ("/a;v=1/b", &[&[2], &[1], &[0, 3]]),
            ("/a", &[&[2], &[1]]),
            ("/", &[&[2]]),
            ("*", &[&[2]]),
            ("/x/b", &[&[2], &[4]]),
        ] {
            let mut visited = Vec::new();
            trie.walk(path, |candidates| visited.push(candidates.to_vec()));
            assert_eq!(visited, expect, "{path}");
        }
    }
}
