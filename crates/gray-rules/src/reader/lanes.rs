//! `baseline` and `lanes`: which instances of each service.

use std::collections::BTreeMap;

use gray_core::{
    Space,
    balance::VersionPolicy,
    lane::{Choice, Lane, Selector, Want, is_token},
    tag::{GrayStatus, VERSION_KEY},
};
use gray_document::{Item, Section, is_same_name};
use gray_settings::GraySettings;

use super::{Reader, only};

/// Keys of `baseline`.
pub(super) const BASELINE_KEYS: [&str; 2] = ["select", "services"];
/// Keys of a lane.
pub(super) const LANE_KEYS: [&str; 5] = ["select", "services", "fallback", "namespace", "tag"];
/// Keys of a service on a lane, when it says more than its selector.
pub(super) const SERVICE_KEYS: [&str; 2] = ["select", "fallback"];

/// What a lane takes: two headers among other things.
const LANE: usize = 1024;
/// What the choice for one service takes, its part of the headers included.
const CHOICE: usize = 640;

/// What ordinary requests use.
pub(super) struct Baseline {
    others: Selector,
    services: BTreeMap<String, Selector>,
}

/// Places of lanes by name.
pub(super) struct Lanes(BTreeMap<String, usize>);

impl Lanes {
    pub(super) fn get(&self, name: &str) -> Option<usize> {
        self.0.get(name).copied()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl Baseline {
    pub(super) fn read(section: &Section<'_>, policy: &VersionPolicy) -> Self {
        let entry =
            |key: &str| section.keys().into_iter().find(|(name, _)| is_same_name(name, key)).map(|(_, item)| item);
        let closed = |item: &Item<'_>| {
            let (selector, open) = selector(item, None)?;
            if open.is_some() {
                item.error("the baseline must not depend on the request: ordinary traffic could be led anywhere");
            }
            Some(selector)
        };
        let others = entry("select").and_then(|item| closed(&item));
        let services = services(entry("services"));
        let services = services.iter().filter_map(|(service, item)| Some((service.clone(), closed(item)?))).collect();
        only(section, "the baseline has", &BASELINE_KEYS);
        Self { others: others.unwrap_or_else(|| Selector::version(policy.prod.as_str()).to_owned()), services }
    }

    fn selector(&self, service: &str) -> &Selector {
        self.services.get(service).unwrap_or(&self.others)
    }

    fn lane(&self) -> Lane {
        let choice = |selector: &Selector| Choice::new(selector.clone(), []);
        let services = self.services.iter().map(|(service, selector)| (service.as_str().into(), choice(selector)));
        Lane::new("baseline", GrayStatus::Prod, services, choice(&self.others))
    }
}

/// What a lane does without an instance of its own.
#[derive(Clone, Copy, PartialEq)]
enum Fallback {
    Baseline,
    Any,
    Fail,
}

impl Fallback {
    fn read(section: &Section<'_>) -> Option<Self> {
        match section.string("fallback")?.as_str() {
            "baseline" => Some(Self::Baseline),
            "any" => Some(Self::Any),
            "fail" => Some(Self::Fail),
            other => {
                section.error("fallback", format!("expected baseline, any or fail, found `{other}`"));
                None
            }
        }
    }

    /// What is wanted, and what stands in for it.
    fn choice(self, wanted: Selector, baseline: &Selector) -> Choice {
        let stand_in = match self {
            Self::Baseline => Some(baseline.clone()),
            Self::Any => Some(Selector::ANY.to_owned()),
            Self::Fail => None,
        };
        let stand_in = stand_in.filter(|selector| *selector != wanted);
        Choice::new(wanted, stand_in)
    }
}

impl Reader<'_> {
    /// Reads all lanes, those that are always there among them.
    pub(super) fn read_lanes(&mut self, baseline: &Baseline, settings: &GraySettings, default: &str) -> Lanes {
        let mut lanes = Lanes(BTreeMap::new());
        let (versions, known) = (&settings.policy, (&*settings.mesh.namespaces, &settings.policy));
        for (name, item) in self.section.section("lanes").keys() {
            if name == "baseline" || name == "any" || !is_token(&name) {
                item.error(format!("`{name}` cannot be the name of a lane: it is always there, or not a plain name"));
                continue;
            }
            // A lane has a choice for every service that it or the baseline names.
            let choices = 1 + baseline.services.len() + item.section().section("services").peek_keys().len();
            if !item.spend("lanes", LANE + CHOICE * choices) {
                break;
            }
            let Some((lane, open)) = self.read_lane(&name, &item.section(), baseline, known, name == default) else {
                continue;
            };
            let value = match open {
                None => None,
                Some(fact) => match self.place(&fact, &item) {
                    Some(place) => Some(place),
                    None => {
                        item.error(self.unknown_fact(&fact));
                        continue;
                    }
                },
            };
            if value.is_some() && name == default {
                item.error("the default lane must not depend on the request");
            }
            match self.builder.lane(lane, value) {
                Ok(place) => drop(lanes.0.insert(name, place)),
                Err(reason) => item.error(reason),
            }
        }
        let fixed = |lane: Lane| {
            let tag = lane.tag();
            lane.tagged(tag, &versions.prod, &versions.gray)
        };
        let mut given = vec![fixed(baseline.lane()), fixed(Lane::any())];
        if !lanes.0.contains_key("gray") {
            let gray = settings.policy.gray();
            given.push(fixed(self.with_baseline(&gray, baseline)));
        }
        for lane in given {
            let name = lane.name().to_owned();
            match self.builder.lane(lane, None) {
                Ok(place) => {
                    self.builder.given(place);
                    lanes.0.insert(name, place);
                }
                Err(reason) => self.section.error("baseline", reason),
            }
        }
        lanes
    }

    /// The lane `gray` of the settings falls back to their `prodVersion`; with a baseline of our own, to that.
    fn with_baseline(&self, gray: &Lane, baseline: &Baseline) -> Lane {
        let fallback = |choice: &Choice, selector: &Selector| match choice.selectors() {
            [wanted, stand_in] if stand_in.want != Want::Any => Choice::new(wanted.clone(), [selector.clone()]),
            _ => choice.clone(),
        };
        let services = baseline.services.iter();
        let services = services.map(|(service, selector)| (service.as_str().into(), fallback(gray.others(), selector)));
        Lane::new(gray.name(), gray.tag(), services, fallback(gray.others(), &baseline.others))
    }

    /// A lane, and the fact that fills it.
    fn read_lane(
        &mut self,
        name: &str,
        section: &Section<'_>,
        baseline: &Baseline,
        (namespaces, versions): (&[Space], &VersionPolicy),
        is_default: bool,
    ) -> Option<(Lane, Option<String>)> {
        let space = section.string("namespace").filter(|space| {
            let listed = namespaces.iter().any(|known| known.to_string() == *space);
            if !listed {
                let message = "every part of the chain must know it; add it to the `namespaces` of common-config.yaml";
                section.error("namespace", message);
            }
            listed
        });
        let fallback = Fallback::read(section).unwrap_or(Fallback::Baseline);
        let tag = section.parsed::<GrayStatus>("tag").or(is_default.then_some(GrayStatus::Prod));
        let mut open = None;
        let mut take = |item: &Item<'_>| {
            let (selector, fact) = selector(item, space.as_deref())?;
            if let Some(fact) = fact {
                if open.as_ref().is_some_and(|known| *known != fact) {
                    item.error("one lane can depend on one fact only");
                }
                open = Some(fact);
            }
            Some(selector)
        };
        let entry =
            |key: &str| section.keys().into_iter().find(|(name, _)| is_same_name(name, key)).map(|(_, item)| item);
        let mut wanted: BTreeMap<String, (Selector, Fallback)> = BTreeMap::new();
        let services = services(entry("services"));
        for (service, item) in &services {
            let own = item.is_map() && item.section().peek_keys().iter().any(|(key, _)| is_same_name(key, "select"));
            let (selected, fallback) = if own {
                let section = item.section();
                let selected = section.keys().into_iter().find(|(key, _)| is_same_name(key, "select"));
                let own_fallback = Fallback::read(&section).unwrap_or(fallback);
                only(&section, "a service on a lane has", &SERVICE_KEYS);
                (selected.and_then(|(_, item)| take(&item)), own_fallback)
            } else {
                (take(item), fallback)
            };
            if let Some(selected) = selected {
                wanted.insert(service.clone(), (selected, fallback));
            }
        }
        let select = entry("select").and_then(|item| take(&item));
        if select.is_none() && services.is_empty() && space.is_none() {
            section.error("select", "a lane needs `select`, `services` or `namespace`: which instances are on it?");
        }
        only(section, "a lane has", &LANE_KEYS);
        let everywhere = space.as_deref().map(|space| Selector { space: Some(space.into()), want: Want::Any });
        let others = match (select, services.is_empty()) {
            (Some(select), _) => Some(select),
            // Only a namespace: everything in it. Services by name: all others stay on the baseline.
            (None, true) => everywhere,
            (None, false) => None,
        };
        let mut choices: BTreeMap<String, Choice> = BTreeMap::new();
        for (service, (selected, fallback)) in wanted {
            let choice = fallback.choice(selected, baseline.selector(&service));
            choices.insert(service, choice);
        }
        let other = |selector: &Selector| match &others {
            Some(wanted) => fallback.choice(wanted.clone(), selector),
            None => Choice::new(selector.clone(), []),
        };
        for (service, selector) in &baseline.services {
            choices.entry(service.clone()).or_insert_with(|| other(selector));
        }
        let others = other(&baseline.others);
        let choices = choices.into_iter().map(|(service, choice)| (service.into(), choice));
        let lane = Lane::new(name, GrayStatus::Gray, choices, others);
        let lane = match tag {
            Some(tag) => lane.tagged(tag, &versions.prod, &versions.gray),
            None => lane.tagged_by_others(&baseline.lane(), &versions.prod, &versions.gray),
        };
        Some((lane, open))
    }
}

/// The services below a key `services`. Names that the header `gray-lane` could not carry are errors.
fn services<'d>(item: Option<Item<'d>>) -> Vec<(String, Item<'d>)> {
    let services = item.map(|item| item.section().keys()).unwrap_or_default();
    for (service, item) in services.iter().filter(|(service, _)| !is_token(service)) {
        item.error(format!("`{service}` cannot be a service here: letters, digits and . _ - +, at most 64"));
    }
    services
}

/// A selector, and the fact that fills it: `V2`, `{gray-tag: true}`, `{gray-tag: ~}`, `{version: $header.versionId}`, `*`.
fn selector(item: &Item<'_>, space: Option<&str>) -> Option<(Selector, Option<String>)> {
    let expected =
        "a version, or one metadata key with its value, such as { gray-tag: true } ({ gray-tag: ~ } for none)";
    let space = space.map(Into::into);
    if !item.is_map() {
        let text = item.required_text(expected)?;
        if text == "*" {
            return Some((Selector { space, want: Want::Any }, None));
        }
        return valued(item, VERSION_KEY, text, space);
    }
    let keys = item.section().keys();
    let [(key, value)] = keys.as_slice() else {
        item.error(format!("expected {expected}"));
        return None;
    };
    if !is_token(key) {
        item.error(format!("`{key}` cannot be a metadata key here: letters, digits and . _ - +, at most 64"));
        return None;
    }
    match value.text().map(str::trim).filter(|text| !text.is_empty()) {
        Some(text) => valued(value, key, text, space),
        None if value.is_map() || !value.items().is_empty() => {
            value.error(format!("expected {expected}"));
            None
        }
        None => Some((Selector { space, want: Want::Lacks { key: key.as_str().into() } }, None)),
    }
}

fn valued(item: &Item<'_>, key: &str, text: &str, space: Option<Box<str>>) -> Option<(Selector, Option<String>)> {
    if let Some(fact) = text.strip_prefix('$') {
        return Some((Selector { space, ..Selector::open(key) }, Some(fact.to_owned())));
    }
    // A word for everything would select nothing.
    if key == VERSION_KEY && ["any", "all", "none"].iter().any(|word| text.eq_ignore_ascii_case(word)) {
        item.error(format!(
            "`{text}` is not a version: write '*' for every instance, {{ version: ~ }} for those without a version"
        ));
        return None;
    }
    if !is_token(text) {
        item.error(format!("`{text}` cannot be selected: letters, digits and . _ - +, at most 64"));
        return None;
    }
    Some((Selector { space, want: Want::Is { key: key.into(), value: text.into() } }, None))
}
