//! CORS settings, as documents write them.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use gray_document::{Item, Section};
use http::{HeaderName, HeaderValue, Method};

use super::{
    Cors, CorsTable, Headers, Methods,
    origin::{OriginPattern, Origins},
};
use crate::{pattern::PathPattern, text::quoted};

/// What one set of settings takes, besides its texts.
const CORS: usize = 512;
/// What an origin, a method or the name of a field takes, besides its text.
const ENTRY: usize = 48;

impl CorsTable {
    /// What the routes say (each with the first pattern of its `Path`), then what `globalcors` says.
    pub(crate) fn read(routes: Vec<(PathPattern, Cors)>, global: &Section<'_>) -> Self {
        let mut table = Self::default();
        let mut places: HashMap<Box<str>, usize> = HashMap::new();
        for (pattern, cors) in routes {
            let cors = Arc::new(cors);
            // A later route with the same pattern takes the place of the first one, as in Spring's map.
            match places.entry(pattern.text().into()) {
                Entry::Occupied(place) => table.by_path[*place.get()].1 = cors,
                Entry::Vacant(place) => {
                    place.insert(table.by_path.len());
                    table.by_path.push((pattern, cors));
                }
            }
        }
        for (key, item) in global.section("cors-configurations").keys() {
            // In brackets, because Spring drops such characters from names otherwise.
            let path = key.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&key);
            let Some(cors) = Cors::read(&item) else { continue };
            match PathPattern::parse(path, item.budget()) {
                Ok(pattern) if places.contains_key(pattern.text()) => {}
                Ok(pattern) => table.by_path.push((pattern, Arc::new(cors))),
                Err(reason) => item.error(reason),
            }
        }
        for (place, (pattern, _)) in table.by_path.iter().enumerate() {
            table.index.at(pattern.keys()).push(place);
        }
        table.unrouted = global.bool("add-to-simple-url-handler-mapping").unwrap_or(false);
        table
    }
}

impl Cors {
    /// Reads one set of settings; without one that can be read, an error says why.
    pub(crate) fn read(item: &Item<'_>) -> Option<Self> {
        if !item.is_map() {
            item.error("expected CORS settings: a map with allowed-origins, allowed-methods and the like");
            return None;
        }
        item.spend("CORS settings", CORS).then(|| Self::of(&item.section())).flatten()
    }

    fn of(section: &Section<'_>) -> Option<Self> {
        let origins = origins(section)?;
        let wants_credentials = section.bool("allow-credentials").unwrap_or(false);
        if wants_credentials && origins.are_open() {
            section.warn(
                "allow-credentials",
                "is not granted to origins that any page can have (`*`, a pattern that leaves the end of the host open, such as https://*, `null`), since any page could \
                 act as its visitor; name the origins, or use allowed-origin-patterns such as https://*.example.com",
            );
        }
        let cors = Self {
            origins,
            methods: methods(section)?,
            headers: headers(section)?,
            exposed: exposed(section)?,
            credentials: wants_credentials,
            private_network: section.bool("allow-private-network").unwrap_or(false),
            max_age: section.u64("max-age").map(HeaderValue::from),
        };
        section.reject_unknown();
        Some(cors)
    }
}

/// The entries of a list, or of a text with commas.
fn entries<'d>(section: &Section<'d>, key: &str) -> Option<Vec<(Item<'d>, &'d str)>> {
    let mut entries = Vec::new();
    for item in section.items(key) {
        let text = item.required_text("text")?;
        if !item.spend("CORS settings", ENTRY + text.len()) {
            return None;
        }
        entries.push((item, text));
    }
    Some(entries)
}

fn origins(section: &Section<'_>) -> Option<Origins> {
    let mut origins = Origins::default();
    for (item, text) in entries(section, "allowed-origins")? {
        match text.trim_end_matches('/') {
            "*" => origins.all = true,
            origin if origin.contains('*') => {
                item.warn("allows no origin: `*` within an origin is for allowed-origin-patterns");
            }
            origin => {
                if !origin.contains("://") && origin != "null" {
                    item.warn(format!(
                        "allows no origin: browsers send a scheme as well, such as `https://{}`",
                        quoted(origin).trim_matches('`')
                    ));
                }
                origins.named.push(origin.into());
            }
        }
    }
    for (item, text) in entries(section, "allowed-origin-patterns")? {
        match OriginPattern::parse(text.trim_end_matches('/')) {
            _ if text == "*" => origins.all = true,
            Ok(pattern) => origins.patterns.push(pattern),
            Err(reason) => item.error(format!("{} is not a pattern of origins: {reason}", quoted(text))),
        }
    }
    Some(origins)
}

fn methods(section: &Section<'_>) -> Option<Methods> {
    let entries = entries(section, "allowed-methods")?;
    if entries.is_empty() {
        return Some(Methods::default());
    }
    if entries.iter().any(|(_, text)| *text == "*") {
        return Some(Methods::Any);
    }
    let mut methods = Vec::new();
    for (item, text) in entries {
        // Methods are case-sensitive; a lower-case one in a document is a slip.
        match Method::from_bytes(text.to_ascii_uppercase().as_bytes()) {
            Ok(method) => methods.push(method),
            Err(_) => item.error(format!("{} is not a method: expected GET, POST and the like", quoted(text))),
        }
    }
    let written = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(",");
    Some(Methods::These(methods, HeaderValue::from_str(&written).ok()?))
}

fn headers(section: &Section<'_>) -> Option<Headers> {
    let entries = entries(section, "allowed-headers")?;
    if entries.iter().any(|(_, text)| *text == "*") {
        return Some(Headers::Any);
    }
    Some(Headers::These(entries.into_iter().filter_map(name).collect()))
}

fn exposed(section: &Section<'_>) -> Option<Option<HeaderValue>> {
    let entries = entries(section, "exposed-headers")?;
    // With credentials browsers take `*` for a name.
    let is_star = entries.iter().any(|(_, text)| *text == "*");
    let names: Vec<_> = entries.into_iter().filter(|(_, text)| *text != "*").filter_map(name).collect();
    let written = names.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(", ");
    if is_star {
        return Some(Some(HeaderValue::from_static("*")));
    }
    Some(HeaderValue::from_str(&written).ok().filter(|_| !written.is_empty()))
}

fn name((item, text): (Item<'_>, &str)) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(text.as_bytes());
    name.map_err(|_| item.error(format!("{} is not the name of a header field", quoted(text)))).ok()
}
