//! `gray.spring.filters`: what stands for filters of the system's own.

use std::collections::BTreeMap;

use gray_document::{Item, Section};

use super::{Entry, KEY, entries, reason};
use crate::{
    definition::Definition,
    filter::{Common, Filter, is_taken, refusal},
    text::{quoted, suggestion},
};

/// What there may be.
const EXPECTED: &str = "`{ use: FILTER, args: { ... } }`, `refuse` or `{ drop: \"why\" }`";

/// What a filter of the system's own is here.
#[derive(Clone, Debug)]
pub(crate) enum Mapped {
    /// These filters of ours, in its place.
    Use(Vec<Filter>),
    /// Its routes answer 403.
    Refuse,
    /// Nothing, for a reason.
    Drop(String),
    /// It was said what is wrong.
    Invalid,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct OwnFilters(BTreeMap<String, Entry<Mapped>>);

impl OwnFilters {
    /// Reads them; what is wrong is reported.
    pub(crate) fn read(spring: &Section<'_>, common: &Common) -> Self {
        let entries = entries(&spring.section("filters")).into_iter();
        let read = |(name, item): (String, Item<'_>)| {
            let mapped = Mapped::read(&name, &item, common).unwrap_or(Mapped::Invalid);
            (name, Entry::new(mapped))
        };
        Self(entries.map(read).collect())
    }

    /// What is said of a filter of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Mapped> {
        self.0.get(name).map(Entry::used)
    }

    /// Says what has become of them, once all routes are read.
    pub(crate) fn finish(&self, spring: &Section<'_>) {
        let section = spring.section("filters");
        for (name, entry) in &self.0 {
            let uses = entry.uses();
            let places = if uses == 1 { "1 place".to_owned() } else { format!("{uses} places") };
            match &entry.means {
                Mapped::Invalid => {}
                _ if uses == 0 => {
                    let others = self.0.iter().filter(|(_, other)| other.uses() > 0).map(|(name, _)| name.as_str());
                    let hint = suggestion(name, others);
                    section.warn(name, format!("no route has a filter {}; the entry can go{hint}", quoted(name)));
                }
                Mapped::Use(_) => {}
                Mapped::Refuse => {
                    section.note(name, format!("routes with this filter answer every request 403 (in {places})"));
                }
                Mapped::Drop(reason) => section.note(name, format!("dropped in {places}: {reason}")),
            }
        }
    }
}

impl Mapped {
    fn read(name: &str, item: &Item<'_>, common: &Common) -> Option<Self> {
        if is_taken(name) {
            let name = quoted(name);
            item.error(format!(
                "{name} is a filter of this gateway, and cannot be given another meaning; remove the entry"
            ));
            return None;
        }
        if !item.is_map() {
            return match item.required_text(EXPECTED)? {
                "refuse" => Some(Self::Refuse),
                other => {
                    item.error(format!("expected {EXPECTED}, found {}", quoted(other)));
                    None
                }
            };
        }
        let section = item.section();
        let keys = section.peek_keys();
        let find = |wanted: &str| keys.iter().find(|(key, _)| key.eq_ignore_ascii_case(wanted)).map(|(_, item)| item);
        for key in ["use", "args", "drop"] {
            section.has(key);
        }
        let args = find("args");
        match (find("use"), find("drop")) {
            (Some(_), Some(_)) => item.error(format!("`use` and `drop` are two things: expected {EXPECTED}")),
            (None, None) => item.error(format!("expected {EXPECTED}")),
            (None, Some(drop)) if args.is_some() => drop.error("`args` belong to `use`; remove them"),
            (None, Some(drop)) => return reason(drop).map(Self::Drop),
            (Some(written), None) if refusal(name).is_some() => written.error(format!(
                "no filter of this gateway stands for {}: expected `refuse` or `{{ drop: \"why\" }}`. {}",
                quoted(name),
                refusal(name).unwrap_or_default()
            )),
            (Some(written), None) => return in_its_place(written, args, common).map(Self::Use),
        }
        None
    }
}

/// The filters that `use` names: one with `args` beside it, or as routes have them.
fn in_its_place(written: &Item<'_>, args: Option<&Item<'_>>, common: &Common) -> Option<Vec<Filter>> {
    /// Most filters that stand for one.
    const MAX: usize = 16;
    let Some(args) = args else {
        if written.is_text() || written.is_map() {
            return Filter::read(written, common).map(|filter| vec![filter]);
        }
        let items = written.items();
        if items.is_empty() || items.len() > MAX {
            written.error(format!("expected 1 to {MAX} filters of this gateway, as routes have them"));
            return None;
        }
        return items.iter().map(|item| Filter::read(item, common)).collect();
    };
    if !written.is_text() {
        args.error(format!("`args` go with one name: `{KEY}.filters.NAME: {{ use: FILTER, args: {{ ... }} }}`"));
        return None;
    }
    let name = written.required_text("the name of a filter of this gateway")?;
    Filter::of(Definition::of(written, name, Some(args))?, common).map(|filter| vec![filter])
}
