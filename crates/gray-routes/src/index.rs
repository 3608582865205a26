//! Which routes can take a request at all: found by the literal parts of their paths and hosts, however many routes there are.

use std::{borrow::Cow, collections::HashMap};

use foldhash::fast::RandomState;

use super::pattern::{HostPattern, PathPattern, labels, segments};

/// So many parts of a pattern are looked at; what is behind them is left to the pattern.
const DEPTH: usize = 16;
/// Places of a route for each of its patterns, at most: patterns of paths and of hosts make a place for each pair.
const PLACES: usize = 4;

/// A part of a pattern, as the index knows it.
#[derive(Clone, Debug)]
pub(super) enum Key<'k> {
    /// This text.
    Literal(Cow<'k, str>),
    /// Any text: one part all the same.
    Any,
}

impl Key<'_> {
    /// Whether it tells anything.
    pub(super) fn is_literal(&self) -> bool {
        matches!(self, Self::Literal(_))
    }
}

/// Values by the keys of patterns. What is found for some parts are the values of all patterns whose keys these parts begin with,
/// and only those.
#[derive(Debug)]
pub(super) struct Tree<T>(Vec<Node<T>>);

#[derive(Debug, Default)]
struct Node<T> {
    literals: HashMap<Box<str>, usize, RandomState>,
    any: Option<usize>,
    value: T,
}

impl<T: Default> Default for Tree<T> {
    fn default() -> Self {
        Self(vec![Node::default()])
    }
}

impl<T: Default> Tree<T> {
    /// The value of a pattern; without a literal among its keys it is the one that everything finds.
    pub(super) fn at<'k>(&mut self, keys: impl IntoIterator<Item = Key<'k>>) -> &mut T {
        let keys: Vec<_> = keys.into_iter().take(DEPTH).collect();
        let count = keys.iter().rposition(Key::is_literal).map_or(0, |last| last + 1);
        let mut at = 0;
        for key in &keys[..count] {
            let next = self.0.len();
            let node = &mut self.0[at];
            at = match key {
                Key::Literal(text) => *node.literals.entry(Box::from(&**text)).or_insert(next),
                Key::Any => *node.any.get_or_insert(next),
            };
            if at == next {
                self.0.push(Node::default());
            }
        }
        &mut self.0[at].value
    }
}

impl<T> Tree<T> {
    /// Visits all that can be meant by these parts.
    pub(super) fn walk<'p>(&self, parts: impl Iterator<Item = Cow<'p, str>> + Clone, visit: &mut impl FnMut(&T)) {
        self.walk_from(0, parts, visit);
    }

    /// No deeper than [`DEPTH`].
    fn walk_from<'p, P, V>(&self, mut at: usize, mut parts: P, visit: &mut V)
    where
        P: Iterator<Item = Cow<'p, str>> + Clone,
        V: FnMut(&T),
    {
        while let Some(here) = self.0.get(at) {
            visit(&here.value);
            if here.literals.is_empty() && here.any.is_none() {
                return;
            }
            let Some(part) = parts.next() else { return };
            at = match (here.literals.get(&*part), here.any) {
                (Some(literal), None) => *literal,
                (None, Some(any)) => any,
                (Some(literal), Some(any)) => {
                    self.walk_from(any, parts.clone(), visit);
                    *literal
                }
                (None, None) => return,
            };
        }
    }

    /// Every value, with the parts that lead to it (`None`: any).
    fn each<'t>(&'t self, at: usize, parts: &mut Vec<Option<&'t str>>, visit: &mut impl FnMut(&[Option<&str>], &'t T)) {
        let Some(here) = self.0.get(at) else { return };
        visit(parts, &here.value);
        let literals = here.literals.iter().map(|(text, child)| (Some(&**text), *child));
        for (part, child) in literals.chain(here.any.map(|child| (None, child))) {
            parts.push(part);
            self.each(child, parts, visit);
            parts.pop();
        }
    }
}

/// The routes of a table, by their places in it.
#[derive(Debug, Default)]
pub(super) struct Index(Tree<Place>);

/// Routes whose paths begin in one way.
#[derive(Debug, Default)]
struct Place {
    /// Those of any host, in order.
    routes: Vec<usize>,
    /// Those of a host, by its labels from the right.
    hosts: Option<Box<Tree<Vec<usize>>>>,
}

impl Index {
    /// Adds a route, behind all others. It is found wherever it has one of the paths (`None`: of any path) and one of the hosts.
    pub(super) fn insert(&mut self, paths: Option<&[PathPattern]>, hosts: Option<&[HostPattern]>, route: usize) {
        let paths: Vec<Vec<Key<'_>>> = match paths {
            Some(patterns) => patterns.iter().map(|pattern| pattern.keys().collect()).collect(),
            None => vec![Vec::new()],
        };
        let hosts: Vec<Vec<Key<'_>>> = hosts.into_iter().flatten().map(|pattern| pattern.keys().collect()).collect();
        let is_plain = |keys: &[Key<'_>]| !keys.iter().take(DEPTH).any(Key::is_literal);
        // One that takes any host makes the others say nothing.
        let mut hosts = if hosts.iter().any(|keys| is_plain(keys)) { Vec::new() } else { hosts };
        let mut paths = paths;
        if paths.len() * hosts.len() > PLACES * (paths.len() + hosts.len()) {
            match paths.iter().any(|keys| is_plain(keys)) {
                true => paths = vec![Vec::new()],
                false => hosts = Vec::new(),
            }
        }
        for path in paths {
            let place = self.0.at(path);
            if hosts.is_empty() {
                add(&mut place.routes, route);
            }
            for host in &hosts {
                add(place.hosts.get_or_insert_default().at(host.iter().cloned()), route);
            }
        }
    }

    /// Visits lists of the routes that can take a request of this path and host; each list is in order.
    pub(super) fn walk(&self, path: &str, host: Option<&str>, mut visit: impl FnMut(&[usize])) {
        self.0.walk(segments(path), &mut |place: &Place| {
            if !place.routes.is_empty() {
                visit(&place.routes);
            }
            if let (Some(hosts), Some(host)) = (&place.hosts, host) {
                hosts.walk(labels(host), &mut |routes: &Vec<usize>| visit(routes));
            }
        });
    }

    /// The same whatever the host is.
    pub(super) fn walk_path(&self, path: &str, mut visit: impl FnMut(&[usize])) {
        self.0.walk(segments(path), &mut |place: &Place| {
            visit(&place.routes);
            if let Some(hosts) = &place.hosts {
                hosts.0.iter().for_each(|node| visit(&node.value));
            }
        });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let hosts = self.0.0.iter().filter_map(|node| node.value.hosts.as_ref());
        self.0.0.len() + hosts.map(|hosts| hosts.0.len()).sum::<usize>()
    }

    /// Lists of more routes than this, each of which has to be tried for every request that begins in one way: how that is
    /// written, and the routes.
    pub(super) fn crowds(&self, more_than: usize) -> Vec<(String, &[usize])> {
        let mut crowds = Vec::new();
        self.0.each(0, &mut Vec::new(), &mut |path, place: &Place| {
            let shown: String = path.iter().map(|part| format!("/{}", part.unwrap_or("*"))).collect();
            if place.routes.len() > more_than {
                crowds.push((shown.clone(), &*place.routes));
            }
            let Some(hosts) = &place.hosts else { return };
            hosts.each(0, &mut Vec::new(), &mut |labels, routes| {
                if routes.len() > more_than {
                    let labels: Vec<_> = labels.iter().rev().map(|label| label.unwrap_or("*")).collect();
                    crowds.push((format!("{}{shown}", labels.join(".")), routes));
                }
            });
        });
        crowds.sort_by_key(|(shown, routes)| (std::cmp::Reverse(routes.len()), shown.clone()));
        crowds
    }
}

fn add(routes: &mut Vec<usize>, route: usize) {
    if routes.last() != Some(&route) {
        routes.push(route);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visits_what_can_match_and_nothing_else() {
        let mut tree: Tree<Vec<u32>> = Tree::default();
        let key = |text: &'static str| if text == "*" { Key::Any } else { Key::Literal(text.into()) };
        for (pattern, value) in [("a b", 0), ("a", 1), ("*", 2), ("* b", 3), ("a * c", 4), ("x", 5), ("a * *", 6)] {
            tree.at(pattern.split(' ').map(key)).push(value);
        }
        for (path, expect) in [
            ("/a/b/c", &[0, 1, 2, 3, 4, 6][..]),
            ("/a/%62", &[0, 1, 2, 3, 6]),
            ("/a;v=1/b", &[0, 1, 2, 3, 6]),
            ("/a", &[1, 2, 6]),
            ("/z/b", &[2, 3]),
            ("/a/z/c/d", &[1, 2, 4, 6]),
            ("/", &[2]),
            ("*", &[2]),
            ("/x/b", &[2, 3, 5]),
        ] {
            let mut visited = Vec::new();
            tree.walk(segments(path), &mut |values: &Vec<u32>| visited.extend_from_slice(values));
            visited.sort_unstable();
            assert_eq!(visited, expect, "{path}");
        }
    }

    /// Neither a pattern nor a path of thousands of segments makes a walk deep.
    #[test]
    fn depth_is_bounded() {
        let mut tree: Tree<Vec<u32>> = Tree::default();
        let keys = |first| std::iter::once(first).chain(std::iter::repeat_n(Key::Literal("a".into()), 10_000));
        tree.at(keys(Key::Literal("a".into()))).push(1);
        tree.at(keys(Key::Any)).push(2);
        assert!(tree.0.len() <= 2 * DEPTH + 1, "{}", tree.0.len());
        let mut visited = 0;
        tree.walk(segments(&"/a".repeat(10_000)), &mut |values: &Vec<u32>| visited += values.len());
        assert_eq!(visited, 2);
    }
}
