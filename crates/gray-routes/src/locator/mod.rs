//! `spring.cloud.gateway.discovery.locator`: a route for every service of the registry.
//!
//! Mirrors Spring's `DiscoveryClientRouteDefinitionLocator`: by default `/NAME/**` goes to `lb://NAME` without the prefix, before written
//! routes of the same order. Names are literals: only those are taken that mean nothing in a pattern. What a service's metadata say decides
//! whether it is taken (`include-expression`), and never becomes metadata of its route. The gateway itself is not routed, nor is what lies
//! below `/actuator` of an instance: who wants that writes a route.

mod spel;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use gray_core::instance::Metadata;
use gray_document::{Documents, Item, Problems, Section};
use serde_json::{Map, Value, json};

use self::spel::{Root, Spel};
use crate::{
    definition::Definition,
    read::{Draft, Shared},
    text::quoted,
};

/// Before a route's name, where the settings say nothing (Spring: the class of its discovery client).
const ID_PREFIX: &str = "ReactiveCompositeDiscoveryClient_";
/// Longest name of a service that gets a route, in bytes.
const LONGEST_NAME: usize = 128;
/// A name to judge the settings by before any service is known.
const SAMPLE: &str = "service";

/// A service of the registry.
#[derive(Clone, Copy, Debug)]
pub struct Located<'s> {
    /// Its name.
    pub name: &'s str,
    /// The metadata of its instances, if they were [asked for](Locator::needs_metadata).
    pub instances: &'s [Metadata],
}

/// The settings.
#[derive(Clone, Debug)]
pub struct Locator {
    lower_case: bool,
    id_prefix: Box<str>,
    include: Spel,
    predicates: Vec<Template>,
    filters: Vec<Template>,
    shared: Shared,
}

/// A predicate or filter whose arguments depend on the service.
#[derive(Clone, Debug)]
struct Template {
    name: Box<str>,
    args: Vec<(Box<str>, Spel)>,
}

impl Locator {
    /// Reads the settings, if they switch it on; what is wrong is reported.
    pub(crate) fn read(section: &Section<'_>, shared: &Shared) -> Option<Self> {
        let enabled = section.bool("enabled").unwrap_or(false);
        let lower_case = section.bool("lower-case-service-id").unwrap_or(false);
        let id_prefix = section.string("route-id-prefix");
        let include = section.items("include-expression");
        let url = section.string("url-expression");
        let (predicates, filters) = (section.items("predicates"), section.items("filters"));
        section.reject_unknown();
        if !enabled {
            return None;
        }
        if url.is_some_and(|url| url.replace([' ', '"'], "") != "'lb://'+serviceId") {
            section.error("url-expression", "only the usual one is supported: `'lb://'+serviceId`; leave it out");
            return None;
        }
        let locator = Self {
            lower_case,
            id_prefix: id_prefix.as_deref().unwrap_or(ID_PREFIX).into(),
            include: match include.first() {
                Some(item) => spel(item, section.string("include-expression")?.as_str())?,
                None => Spel::Truth(true),
            },
            predicates: templates(&predicates, "predicate")?.unwrap_or_else(default_predicates),
            filters: templates(&filters, "filter")?.unwrap_or_else(default_filters),
            shared: shared.clone(),
        };
        // What is wrong with the templates is wrong with every service.
        let sample = Located { name: SAMPLE, instances: &[] };
        match locator.routes([locator.definition(&sample)]) {
            Ok(_) => Some(locator),
            Err(problems) => {
                for problem in problems.errors() {
                    section.error("enabled", format!("no route can be made for a service: {}", problem.message));
                }
                None
            }
        }
    }

    /// Whether services have to be followed before it is known which of them get a route.
    pub fn needs_metadata(&self) -> bool {
        self.include.needs_metadata()
    }

    /// Whether a name can stand in a route for itself.
    pub fn takes_name(name: &str) -> bool {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        !name.is_empty() && name.len() <= LONGEST_NAME && name.bytes().all(is_plain) && !name.bytes().all(|b| b == b'.')
    }

    /// The routes of these services, in their order, but for the service `own`.
    ///
    /// # Errors
    /// There are too many of them.
    pub(crate) fn drafts(&self, services: &[Located<'_>], own: &str) -> Result<Vec<Draft>, Problems> {
        let is_taken = |service: &&Located<'_>| {
            !service.name.eq_ignore_ascii_case(own) && Self::takes_name(service.name) && self.includes(service)
        };
        self.routes(services.iter().filter(is_taken).map(|service| self.definition(service)))
    }

    fn includes(&self, service: &Located<'_>) -> bool {
        let id = self.id(service.name);
        let holds = |metadata| self.include.holds(Root { service_id: &id, metadata });
        if self.needs_metadata() { service.instances.iter().any(|one| holds(Some(one))) } else { holds(None) }
    }

    fn id<'n>(&self, name: &'n str) -> Cow<'n, str> {
        if self.lower_case { name.to_lowercase().into() } else { name.into() }
    }

    /// The route of a service, as a document would write it.
    fn definition(&self, service: &Located<'_>) -> Value {
        let id = self.id(service.name);
        let root = Root { service_id: &id, metadata: None };
        let written =
            |templates: &[Template]| templates.iter().map(|template| template.written(root)).collect::<Value>();
        json!({
            "id": format!("{}{}", self.id_prefix, service.name),
            "uri": format!("lb://{}", service.name),
            "predicates": written(&self.predicates),
            "filters": written(&self.filters),
        })
    }

    /// Reads routes as they would be read in a document.
    fn routes(&self, definitions: impl IntoIterator<Item = Value>) -> Result<Vec<Draft>, Problems> {
        let text = json!({ "routes": definitions.into_iter().collect::<Value>() }).to_string();
        let documents = Documents::parse(&[("discovery.locator", &text)], &|_| None)?;
        let mut drafts = self.shared.routes(&documents.root().items("routes"));
        documents.take_problems().into_result()?;
        for draft in &mut drafts {
            draft.route.is_located = true;
        }
        Ok(drafts)
    }
}

impl Template {
    fn written(&self, root: Root<'_>) -> Value {
        let arg = |(key, value): &(Box<str>, Spel)| {
            let text = match relaxed_is(key, "regexp") {
                // The name is a literal there as well.
                true => value.text(Root { service_id: &root.service_id.replace('.', "\\."), ..root }),
                false => value.text(root),
            };
            // The document's own escape, so that it is not taken for a placeholder.
            (key.to_string(), Value::String(text.replace("${", "$\\{")))
        };
        json!({ "name": &*self.name, "args": self.args.iter().map(arg).collect::<Map<_, _>>() })
    }
}

fn relaxed_is(key: &str, name: &str) -> bool {
    crate::definition::relaxed(key) == name
}

fn spel(item: &Item<'_>, text: &str) -> Option<Spel> {
    let read = Spel::parse(text, item.budget());
    read.map_err(|reason| item.error(format!("{} cannot be used as an expression: {reason}", quoted(text)))).ok()
}

/// `None`: none are written. The outer `None`: one cannot be read.
#[expect(clippy::option_option, reason = "nothing written, and nothing that can be used, are two things")]
fn templates(items: &[Item<'_>], kind: &str) -> Option<Option<Vec<Template>>> {
    if items.is_empty() {
        return Some(None);
    }
    let mut templates = Vec::new();
    for item in items {
        let definition = Definition::parse(item, kind)?;
        let mut args = Vec::new();
        for (key, value) in definition.args() {
            args.push((key.into(), spel(&value.at, &value.text)?));
        }
        templates.push(Template { name: definition.name.into(), args });
    }
    Some(Some(templates))
}

fn sum(before: &str, behind: &str) -> Spel {
    Spel::Sum(vec![Spel::Text(before.into()), Spel::ServiceId, Spel::Text(behind.into())])
}

fn default_predicates() -> Vec<Template> {
    vec![Template { name: "Path".into(), args: vec![("pattern".into(), sum("/", "/**"))] }]
}

fn default_filters() -> Vec<Template> {
    let regexp = sum("/", "/?(?<remaining>.*)");
    let replacement = Spel::Text("/${remaining}".into());
    vec![Template {
        name: "RewritePath".into(),
        args: vec![("regexp".into(), regexp), ("replacement".into(), replacement)],
    }]
}
