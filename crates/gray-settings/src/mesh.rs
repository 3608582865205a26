//! What every hop of the chain has to know besides the lane of a request.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
    time::Duration,
};

use gray_core::{
    IpSet, Space, SpaceError,
    balance::OutlierPolicy,
    instance::Instance,
    lane::{SigningKey, SigningKeys, is_token},
    tag::TRACE_HEADERS,
};
use gray_document::{Item, Section};
use http::{HeaderName, header};

use crate::read::addresses;

const DAY: Duration = Duration::from_secs(86_400);
/// Signing keys at the same time.
const MAX_KEYS: usize = 8;

/// `propagate`, `baggage`, `namespaces`, `drain`, `slowStart`, `edges`, `outlier` and `signing`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Mesh {
    /// Headers of a request that every call made for it carries as well, `traceparent`, `tracestate` and `baggage` first.
    pub propagate: Vec<HeaderName>,
    /// Whether tag and lane travel as W3C Baggage as well.
    pub baggage: bool,
    /// Other namespaces or groups in which instances of lanes live.
    pub namespaces: Vec<Space>,
    /// Services that are found in another namespace or group than the program's own.
    pub spaces: BTreeMap<Box<str>, Space>,
    /// Who gets no requests, or few at first.
    pub admission: AdmissionRules,
    /// When instances are ejected.
    pub outliers: OutlierPolicy,
    /// Whether tags are signed; `None` = they are not.
    pub signing: Option<Signing>,
}

/// `drain`, `slowStart` and `edges`: who gets no requests, or few at first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdmissionRules {
    /// `host` or `host:port` of instances that get no new requests.
    pub drain: BTreeSet<String>,
    /// How long a new instance takes to get its full share; 0 = no time.
    pub slow_start: Duration,
    /// Who may call whom.
    pub edges: Vec<Edge>,
}

/// Instances of `from` may call only these versions of `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The calling service.
    pub from: String,
    /// Its version; `None` = every one.
    pub version: Option<String>,
    /// The called service.
    pub to: String,
    /// Versions that may be called.
    pub allow: Vec<String>,
}

/// `signing.*`: tags are only believed when the gateway signed them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Signing {
    /// The shared secrets.
    pub keys: SigningKeys,
    /// How long the signature of a call holds.
    pub ttl: Duration,
    /// How long the signature of a message holds: longer than the longest lag.
    pub message_ttl: Duration,
    /// What a service does with a tag that is not properly signed.
    pub invalid: Invalid,
    /// Callers whose requests need no signature: services that know only the header `gray`.
    pub trusted_callers: IpSet,
}

/// What a service does with a tag that is not properly signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Invalid {
    /// Treats the request as untagged.
    #[default]
    Untagged,
    /// Answers 403.
    Refuse,
}

/// Who calls: a service and the version it announces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Name of the service; the gateway has one, too.
    pub service: String,
    /// Its version.
    pub version: Option<String>,
    /// Its cluster, if instances in the same one are asked first.
    pub cluster: Option<String>,
}

impl fmt::Display for Caller {
    /// `order-app@V1`, as the header `gray-caller` says it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.service)?;
        self.version.iter().try_for_each(|version| write!(f, "@{version}"))
    }
}

/// Why an instance gets nothing from a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclusion {
    /// `drain` names it.
    Drained,
    /// An edge forbids it to this caller.
    Forbidden,
}

impl Exclusion {
    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drained => "drained",
            Self::Forbidden => "forbidden",
        }
    }
}

impl AdmissionRules {
    /// Whether an instance of `service` gets nothing from this caller.
    pub fn excludes(&self, caller: &Caller, service: &str, instance: &Instance) -> bool {
        self.exclusion(caller, service, instance).is_some()
    }

    /// Why an instance of `service` gets nothing from this caller, if it does not.
    pub fn exclusion(&self, caller: &Caller, service: &str, instance: &Instance) -> Option<Exclusion> {
        let drained = || self.drain.contains(&instance.host) || self.drain.contains(&instance.authority());
        let forbidden = |edge: &Edge| {
            edge.from == caller.service
                && edge.to == service
                && (edge.version.is_none() || edge.version == caller.version)
                && !edge.allow.iter().any(|version| instance.version() == Some(version))
        };
        if !self.drain.is_empty() && drained() {
            Some(Exclusion::Drained)
        } else {
            self.edges.iter().any(forbidden).then_some(Exclusion::Forbidden)
        }
    }
}

impl Mesh {
    pub(super) fn read(gray: &Section<'_>) -> Self {
        Self {
            propagate: propagate(gray),
            baggage: gray.bool("baggage").unwrap_or(true),
            namespaces: namespaces(gray),
            spaces: spaces(&gray.section("spaces")),
            admission: AdmissionRules {
                drain: drain(gray),
                slow_start: gray.duration("slowStart").unwrap_or_default(),
                edges: edges(gray),
            },
            outliers: outliers(&gray.section("outlier")),
            signing: signing(&gray.section("signing")),
        }
    }
}

impl Default for Mesh {
    fn default() -> Self {
        let (namespaces, spaces, admission, outliers, signing) = Default::default();
        Self { propagate: TRACE_HEADERS.to_vec(), baggage: true, namespaces, spaces, admission, outliers, signing }
    }
}

fn propagate(gray: &Section<'_>) -> Vec<HeaderName> {
    let mut names: Vec<HeaderName> = Vec::new();
    for item in few(gray, "propagate") {
        let Some(text) = item.required_text("the name of a header") else { continue };
        match HeaderName::from_str(text) {
            Ok(name) if is_ours(&name) => {
                item.error(format!("the header {name} belongs to a single hop, or is set on each; leave it out"));
            }
            Ok(name) if names.contains(&name) => item.error(format!("{name} is listed twice")),
            Ok(name) => names.push(name),
            Err(_) => item.error(format!("`{text}` is not a header name: ASCII letters, digits and - _ . only")),
        }
    }
    let named: Vec<_> = names.into_iter().filter(|name| !TRACE_HEADERS.contains(name)).collect();
    TRACE_HEADERS.into_iter().chain(named).collect()
}

/// The items of a list of which every request, or every service, asks each.
fn few<'d>(gray: &Section<'d>, key: &str) -> Vec<Item<'d>> {
    const MOST: usize = 64;
    let mut items = gray.items(key);
    if let Some(item) = items.get(MOST) {
        item.error(format!("`{key}` has at most {MOST} entries"));
        items.truncate(MOST);
    }
    items
}

/// Headers that frame one message, or that are written on every hop.
fn is_ours(name: &HeaderName) -> bool {
    use gray_core::tag::{CALLER_HEADER, GRAY_HEADER, LANE_HEADER, PATH_HEADER, SIGNATURE_HEADER};
    let hop = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::EXPECT,
        header::HOST,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    hop.contains(name) || [CALLER_HEADER, GRAY_HEADER, LANE_HEADER, PATH_HEADER, SIGNATURE_HEADER].contains(name)
}

fn namespaces(gray: &Section<'_>) -> Vec<Space> {
    let items = few(gray, "namespaces");
    let spaces = items.iter().filter_map(|item| {
        let text = item.required_text("the ID of a namespace, namespace@group or @group")?;
        text.parse().map_err(|error: SpaceError| item.error(error.to_string())).ok()
    });
    spaces.collect()
}

fn spaces(section: &Section<'_>) -> BTreeMap<Box<str>, Space> {
    const MOST: usize = 256;
    let keys = section.keys();
    if let Some((_, item)) = keys.get(MOST) {
        item.error(format!("`spaces` has at most {MOST} entries"));
    }
    let spaces = keys.iter().take(MOST).filter_map(|(service, item)| {
        let text = item.required_text("where the service is: the ID of a namespace, namespace@group or @group")?;
        let space = text.parse().map_err(|error: SpaceError| item.error(error.to_string())).ok()?;
        Some((service.as_str().into(), space))
    });
    spaces.collect()
}

fn drain(gray: &Section<'_>) -> BTreeSet<String> {
    let items = gray.items("drain");
    let addresses = items.iter().filter_map(|item| {
        let text = item.required_text("host:port of an instance, or a host")?;
        if text.contains(char::is_whitespace) || text.contains('/') {
            item.error(format!("`{text}` is not an address: expected HOST:PORT as the registry shows it, or a host"));
        }
        Some(text.to_owned())
    });
    addresses.collect()
}

fn edges(gray: &Section<'_>) -> Vec<Edge> {
    let mut edges = Vec::new();
    for item in gray.items("edges") {
        let section = item.section();
        let needed = |key: &str| {
            let text = section.string(key);
            if text.is_none() {
                section.error(key, "missing; an edge has `from: service` or `from: service@version`, `to` and `allow`");
            }
            text
        };
        let (from, to) = (needed("from"), needed("to"));
        let allow: Vec<_> = section
            .items("allow")
            .iter()
            .filter_map(|item| item.required_text("a version").map(str::to_owned))
            .collect();
        if section.exists() && allow.is_empty() {
            section.error("allow", "name at least one version that may be called");
        }
        section.reject_unknown();
        let (Some(from), Some(to)) = (from, to) else { continue };
        let (from, version) = match from.split_once('@') {
            Some((from, version)) if is_token(version) => (from.to_owned(), Some(version.to_owned())),
            Some(_) => {
                section.error("from", "expected `service` or `service@version`");
                continue;
            }
            None => (from, None),
        };
        edges.push(Edge { from, version, to, allow });
    }
    edges
}

fn outliers(section: &Section<'_>) -> OutlierPolicy {
    let default = OutlierPolicy::default();
    let millis = |key: &str, default| {
        section.duration(key).map_or(default, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    };
    let panic_percent = section.whole("panicPercent", 0..=100).unwrap_or(default.panic_percent);
    let most = u32::MAX.into();
    let mut policy = default;
    policy.consecutive_failures =
        section.whole("consecutiveFailures", 0..=most).unwrap_or(default.consecutive_failures);
    policy.slow_ms = millis("slowResponse", default.slow_ms);
    policy.eject_ms = millis("ejectFor", default.eject_ms);
    policy.max_eject_ms = millis("maxEjectFor", default.max_eject_ms);
    policy.panic_percent = panic_percent;
    policy
}

fn signing(section: &Section<'_>) -> Option<Signing> {
    if !section.exists() {
        return None;
    }
    let invalid = section.parsed::<Invalid>("invalid").unwrap_or_default();
    let ttl = section.duration("ttl").unwrap_or(Duration::from_secs(60));
    if !(Duration::from_secs(10)..=Duration::from_secs(86_400)).contains(&ttl) {
        section.error("ttl", "must be from 10s to 24h: longer than the clocks of two machines differ");
    }
    let message_ttl = section.duration("messageTtl").unwrap_or(7 * DAY);
    if !(Duration::from_secs(60)..=90 * DAY).contains(&message_ttl) {
        section.error("messageTtl", "must be from 1m to 90d: longer than a message may wait in the broker");
    }
    let trusted_callers = addresses(section, "trustedCallers");
    let mut keys = signing_keys(section)?.into_iter();
    Some(Signing { keys: SigningKeys::new(keys.next()?, keys), ttl, message_ttl, invalid, trusted_callers })
}

/// `key`, or `keys`: the first one signs, all are believed.
fn signing_keys(section: &Section<'_>) -> Option<Vec<SigningKey>> {
    let needed = format!("a secret of at least {} bytes is needed, best from a `${{VARIABLE}}`", SigningKey::MIN_BYTES);
    let items = section.items("keys");
    let keys: Option<Vec<_>> = match &*items {
        [] => {
            let key = section.string("key").and_then(|secret| SigningKey::new(secret.as_bytes()));
            if key.is_none() {
                section.error("key", needed);
            }
            key.map(|key| vec![key])
        }
        _ if section.has("key") => {
            section.error("key", "there are `keys` as well; keep only those: the first signs, all are believed");
            None
        }
        items => {
            let key = |item: &Item<'_>| {
                let key = item.text().and_then(|secret| SigningKey::new(secret.trim().as_bytes()));
                if key.is_none() {
                    item.error(needed.clone());
                }
                key
            };
            let keys: Vec<_> = items.iter().map(key).collect();
            keys.into_iter().collect()
        }
    };
    keys.filter(|keys| {
        let is_bounded = keys.len() <= MAX_KEYS;
        if !is_bounded {
            section.error(
                "keys",
                format!("at most {MAX_KEYS} keys: each is tried for every request that has no good signature"),
            );
        }
        is_bounded
    })
}

impl FromStr for Invalid {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "untagged" => Ok(Self::Untagged),
            "refuse" => Ok(Self::Refuse),
            _ => Err("expected untagged or refuse"),
        }
    }
}
