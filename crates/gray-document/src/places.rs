//! Lists that are written flat: `routes[0]`, `routes[1]` are entries of a map until a part of a document is complete.

use std::sync::Arc;

use super::{
    key,
    tree::{Map, Node, Value},
};

/// Told of a key that is there twice: its name, the node before and the node after.
type Collide<'c> = &'c mut dyn FnMut(&str, &Node, &Node);

/// Whether a map stands for a list, as far as its first key tells.
pub(super) fn begins_a_list(map: &Map) -> bool {
    map.entries().next().is_some_and(|(key, _)| key::place(key).is_some())
}

/// A list as a map of places.
pub(super) fn spread(items: Vec<Node>) -> Map {
    let mut map = Map::default();
    for (place, item) in items.into_iter().enumerate() {
        let key: Arc<str> = format!("[{place}]").into();
        map.insert(&key, item, &mut |_, _, _| ());
    }
    map
}

/// Turns maps of places into lists, here and everywhere below. No deeper than a document may be.
///
/// One with a place left out stays a map, which is no list for those who read it ([`missing`]). Among other keys a place is
/// a key like any other: `args[0]` is `args.0`.
pub(super) fn settle(map: &mut Map, collide: Collide<'_>) {
    for node in map.nodes_mut() {
        match &mut node.value {
            Value::Map(below) => {
                settle(below, collide);
                settle_node(node, collide);
            }
            Value::List(items) => items.iter_mut().for_each(|item| {
                if let Value::Map(below) = &mut item.value {
                    settle(below, collide);
                    settle_node(item, collide);
                }
            }),
            Value::Missing | Value::Scalar(_) => {}
        }
    }
}

fn settle_node(node: &mut Node, collide: Collide<'_>) {
    let Value::Map(map) = &mut node.value else { return };
    let places = map.entries().filter(|(key, _)| key::place(key).is_some()).count();
    let all = map.entries().count();
    if places == 0 || (places == all && missing(map).is_some()) {
        return;
    }
    let entries = std::mem::take(map).into_entries();
    if places == all {
        let mut entries: Vec<_> = entries.into_iter().map(|(key, node)| (key::place(&key), node)).collect();
        entries.sort_by_key(|(place, _)| *place);
        node.value = Value::List(entries.into_iter().map(|(_, node)| node).collect());
        return;
    }
    for (key, node) in entries {
        let plain = key.strip_prefix('[').and_then(|key| key.strip_suffix(']')).filter(|_| key::place(&key).is_some());
        let key = plain.map_or_else(|| Arc::clone(&key), Arc::from);
        map.insert(&key, node, collide);
    }
}

/// Of a map that would be a list: the first place that is not there.
pub(super) fn missing(map: &Map) -> Option<usize> {
    let mut places: Vec<usize> = Vec::new();
    for (key, _) in map.entries() {
        places.push(key::place(key)?);
    }
    places.sort_unstable();
    places.iter().enumerate().find_map(|(expected, place)| (expected != *place).then_some(expected))
}
