//! `rules`: who gets which lane, in order.

use std::ops::Range;

use gray_core::lane::is_token;
use gray_document::{Item, Section, is_same_name};
use jiff::Timestamp;

use super::{Reader, first_of, lanes::Lanes, only, some};
use crate::{Rule, Share, ShareKey, WHOLE};

/// Keys of a rule.
pub(super) const RULE_KEYS: [&str; 9] =
    ["name", "when", "share", "lane", "since", "until", "enabled", "trace", "cookie"];

/// What a rule takes besides its conditions, its part of the index and of the counters included.
const RULE: usize = 768;

/// What a share is taken of, before it has a place.
#[derive(Clone)]
pub(super) enum Key {
    Random,
    Fact(usize),
}

impl Reader<'_> {
    pub(super) fn read_rules(&mut self, lanes: &Lanes) {
        for item in self.section.items("rules") {
            if !item.spend("rules", RULE) {
                return;
            }
            if let Some(rule) = self.read_rule(&item, lanes) {
                self.builder.rule(rule);
            }
        }
    }

    fn read_rule(&mut self, item: &Item<'_>, lanes: &Lanes) -> Option<Rule> {
        if !item.is_map() {
            item.error("expected a rule: a map with name, when, lane");
            return None;
        }
        let section = item.section();
        let name = section.string("name").unwrap_or_default();
        if name.is_empty() {
            section.error("name", "`name` is missing: expected at most 64 ASCII letters, digits and . _ - +");
        } else if name == "default" {
            section.error("name", "a rule cannot be called `default`: that is what matches none");
        } else if !is_token(&name) {
            section.error(
                "name",
                format!("`{name}` is not a name: expected at most 64 ASCII letters, digits and . _ - +"),
            );
        } else if !self.rules.insert(name.clone()) {
            section.error("name", format!("another rule is called `{name}` already"));
        }
        let when = section.keys().into_iter().find(|(key, _)| is_same_name(key, "when"));
        let any = when.map(|(_, item)| self.read_when(&item));
        let share = section.has("share").then(|| self.read_share(&section, &name));
        if any.is_none() && share.is_none() {
            section.error("when", "`when` or `share` is missing; to catch all other requests, use `default: <lane>`");
        }
        let lane = match section.string("lane") {
            Some(lane) => lanes.get(&lane).or_else(|| {
                let known = some(lanes.names());
                section.error("lane", format!("there is no lane `{lane}`; there are {known}"));
                None
            }),
            None => {
                section.error("lane", format!("`lane` is missing; there are {}", some(lanes.names())));
                None
            }
        };
        let (since, until) = (time(&section, "since"), time(&section, "until"));
        if let (Some(since), Some(until)) = (since, until)
            && since >= until
        {
            section.error("until", "not after `since`: the rule is never in force");
        }
        let enabled = section.bool("enabled").unwrap_or(true);
        let traced = section.bool("trace").unwrap_or(false);
        let keeps_cookie = !section.bool("cookie").unwrap_or(true);
        only(&section, "a rule has", &RULE_KEYS);
        let rule = Rule {
            name: name.into(),
            any: any.unwrap_or_default(),
            share: share.flatten(),
            lane: lane?,
            since,
            until,
            traced,
            keeps_cookie,
        };
        // Read to the end first: a rule that is off is checked all the same.
        enabled.then_some(rule)
    }

    /// `key: user`, `key: [user, cookie.id]` or `key: random`.
    pub(super) fn share_key(&mut self, section: &Section<'_>) -> Option<Key> {
        let items = section.items("key");
        let mut texts = Vec::new();
        for item in &items {
            let text = item.required_text("a fact to hash, or random")?;
            if text != "random" && self.named(text).is_none() {
                item.error(self.unknown_fact(text));
                return None;
            }
            texts.push(text.to_owned());
        }
        match texts.as_slice() {
            [] => {
                section
                    .error("key", "`key` is missing: the fact that is hashed, such as header.X-User-No, or `random`");
                None
            }
            [one] if one == "random" => Some(Key::Random),
            [one] => self.place(one, items.first()?).map(Key::Fact),
            several if several.iter().any(|text| text == "random") => {
                section.error("key", "`random` cannot be combined with other facts: every request has it");
                None
            }
            several => {
                let sources = several.iter().filter_map(|text| self.named(text)).collect();
                let first = items.first()?;
                let source = first_of(first, sources)?;
                Some(Key::Fact(self.put(&format!("[{}]", several.join(", ")), source, first)))
            }
        }
    }

    fn read_share(&mut self, rule: &Section<'_>, name: &str) -> Option<Share> {
        let section = rule.section("share");
        if !section.exists() {
            return None;
        }
        let size = percent(&section, "percent");
        let share = match section.string("layer") {
            None => {
                let key = self.share_key(&section);
                let salt = section.string("salt").unwrap_or_else(|| name.to_owned());
                if section.has("slot") {
                    section.error("slot", "a slot is a part of a layer; name the `layer`");
                }
                key.zip(size).map(|(key, size)| Share::new(place(&key), &salt, 0, size))
            }
            Some(layer) => self.layered(&section, &layer, size, name),
        };
        section.reject_unknown();
        share
    }

    fn layered(&mut self, section: &Section<'_>, layer: &str, size: Option<u32>, name: &str) -> Option<Share> {
        for key in ["key", "salt"] {
            if section.has(key) {
                section.error(key, format!("the layer `{layer}` has it for all its shares"));
            }
        }
        let slot = slot(section);
        let known = some(self.layers.keys().map(String::as_str));
        let Some(layer) = self.layers.get_mut(layer) else {
            section.error("layer", format!("there is no layer `{layer}` under gray.layers ({known})"));
            return None;
        };
        let (slot, size) = (slot?, size?);
        if size > slot.end - slot.start {
            let room = f64::from(slot.end - slot.start) / 100.0;
            section.error("percent", format!("more than its slot has room for ({room} %)"));
        }
        if let Some((_, other)) = layer.taken.iter().find(|(taken, _)| taken.start < slot.end && slot.start < taken.end)
        {
            section.error("slot", format!("overlaps the slot of rule `{other}`: shares of one layer must not"));
        }
        layer.taken.push((slot.clone(), name.to_owned()));
        Some(Share::new(place(&layer.key), &layer.salt, slot.start, size))
    }
}

fn place(key: &Key) -> ShareKey {
    match key {
        Key::Random => ShareKey::Random,
        Key::Fact(place) => ShareKey::Fact(*place),
    }
}

/// `slot: 0..50`, in percent.
fn slot(section: &Section<'_>) -> Option<Range<u32>> {
    let text = section.string("slot");
    let parsed = text.as_deref().and_then(|text| text.split_once("..")).and_then(|(from, to)| {
        let (from, to) = (hundredths(from)?, hundredths(to)?);
        (from < to).then_some(from..to)
    });
    match text {
        _ if parsed.is_some() => {}
        Some(text) => {
            section.error("slot", format!("`{text}` is not a slot: expected FROM..TO in percent, such as `0..50`"));
        }
        None => section
            .error("slot", "`slot` is missing: the part of the layer that this rule may grow into, such as `0..50`"),
    }
    parsed
}

fn percent(section: &Section<'_>, key: &str) -> Option<u32> {
    const EXPECTED: &str = "expected 0 to 100, at most two decimals";
    let Some(text) = section.string(key) else {
        section.error(key, format!("`{key}` is missing: {EXPECTED}"));
        return None;
    };
    let points = hundredths(text.trim_end_matches('%'));
    if points.is_none() {
        section.error(key, format!("`{text}` is not a percentage: {EXPECTED}"));
    }
    points
}

/// Percent as hundredths of a percent, exactly; `None` if it is not a number from 0 to 100 with at most two decimals.
fn hundredths(text: &str) -> Option<u32> {
    let text = text.trim();
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || decimals.len() > 2 || !digits(decimals) {
        return None;
    }
    let points = whole.parse::<u32>().ok()?.checked_mul(100)? + format!("{decimals:0<2}").parse::<u32>().ok()?;
    (points <= WHOLE).then_some(points)
}

fn time(section: &Section<'_>, key: &str) -> Option<u64> {
    let text = section.string(key)?;
    let seconds = text.parse::<Timestamp>().ok().and_then(|time| u64::try_from(time.as_second()).ok());
    if seconds.is_none() {
        section.error(key, format!("`{text}` is not a time: expected one such as 2026-12-31T18:00:00+08:00"));
    }
    seconds
}
