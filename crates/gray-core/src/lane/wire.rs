//! A lane as a header value.
//!
//! ```text
//! gray-lane: 8f3a11c0;v2;-;order-app=version:V2|version:V1;*=version:V1
//!            revision lane flags service=choice ...     others
//! ```
//!
//! Flags: `-` none, else one or both of `t`, the caller may see the path of its request ([`LaneTag::traced`]), and `f`, the
//! tag that comes with the lane is for all services ([`LaneTag::told`]).

use std::fmt::{self, Write};

use http::HeaderValue;

use super::{Choice, Lane, Selector, is_token};
use crate::tag::GrayStatus;

/// Longest lane on the wire, in bytes. Servers commonly take 8 KiB of headers in all.
pub const MAX_LANE_BYTES: usize = 4096;

/// By whether the request is traced, and whether its tag is fixed.
const FLAGS: [[&str; 2]; 2] = [["-", "f"], ["t", "tf"]];

pub(super) fn encode(lane: &Lane, revision: &str, traced: bool) -> Result<HeaderValue, String> {
    let flags = FLAGS[usize::from(traced)][usize::from(lane.is_told_otherwise())];
    let mut text = format!("{revision};{};{flags}", lane.name());
    for (service, choice) in lane.services().chain([("*", lane.others())]) {
        write!(text, ";{service}={choice}").map_err(|error| error.to_string())?;
    }
    if text.len() > MAX_LANE_BYTES {
        let bytes = text.len();
        return Err(format!(
            "takes {bytes} bytes in the header gray-lane, more than {MAX_LANE_BYTES}: name fewer services, or give the \
             lane and the baseline a `select` of their own"
        ));
    }
    HeaderValue::try_from(text).map_err(|error| error.to_string())
}

/// A lane as it came with a request: checked once, read in place. Cloning does not allocate.
#[derive(Clone, PartialEq, Eq)]
pub struct LaneTag {
    value: HeaderValue,
    traced: bool,
    is_tag_fixed: bool,
    /// Where the choices begin, in bytes.
    choices: usize,
}

impl LaneTag {
    /// Takes a header value for a lane; `None` when it is not one, or is too long.
    pub fn from_header(value: &HeaderValue) -> Option<Self> {
        let text = value.to_str().ok().filter(|text| text.len() <= MAX_LANE_BYTES)?;
        let mut parts = text.split(';');
        let (revision, lane, flags) = (parts.next()?, parts.next()?, parts.next()?);
        let (traced, is_tag_fixed) = match flags {
            "-" => (false, false),
            "t" => (true, false),
            "f" => (false, true),
            "tf" => (true, true),
            _ => return None,
        };
        if !is_token(revision) || !is_token(lane) {
            return None;
        }
        let mut last = "";
        for part in parts {
            let (service, choice) = part.split_once('=')?;
            let known = last != "*" && (service == "*" || is_token(service));
            if !known || !choice.split('|').all(|text| Selector::parse(text).is_some()) {
                return None;
            }
            last = service;
        }
        let choices = revision.len() + lane.len() + flags.len() + 3;
        (last == "*").then(|| Self { value: value.clone(), traced, is_tag_fixed, choices })
    }

    /// The header value.
    pub fn as_header(&self) -> &HeaderValue {
        &self.value
    }

    fn text(&self) -> &str {
        // Checked when it was taken in, byte by byte; this is quicker.
        std::str::from_utf8(self.value.as_bytes()).unwrap_or_default()
    }

    fn part(&self, place: usize) -> &str {
        self.text().split(';').nth(place).unwrap_or_default()
    }

    /// The revision of the rules by which the gateway decided.
    pub fn revision(&self) -> &str {
        self.part(0)
    }

    /// Name of the lane.
    pub fn lane(&self) -> &str {
        self.part(1)
    }

    /// Whether the caller may see the path of its request.
    pub fn traced(&self) -> bool {
        self.traced
    }

    /// Whether the tag that comes with the lane is for all services.
    pub(super) fn is_tag_fixed(&self) -> bool {
        self.is_tag_fixed
    }

    /// The services with a choice of their own, and `*`, each with the selector that it prefers.
    pub fn firsts(&self) -> impl Iterator<Item = (&str, Option<Selector<&str>>)> {
        let parts = self.text().get(self.choices..).unwrap_or_default().split(';');
        parts.filter_map(|part| {
            let (service, choice) = part.split_once('=')?;
            Some((service, choice.split('|').next().and_then(Selector::parse)))
        })
    }

    /// Whether the service has a choice of its own.
    pub fn names(&self, service: &str) -> bool {
        service != "*" && is_of(self.found(service), service)
    }

    fn found(&self, service: &str) -> &str {
        let mut parts = self.text().get(self.choices..).unwrap_or_default().split(';');
        parts.find(|part| is_of(part, service) || is_of(part, "*")).unwrap_or_default()
    }

    /// The lane with choices of its own, for those who ask it often. `tag` is what services that know nothing else are told.
    pub fn to_lane(&self, tag: GrayStatus) -> Lane {
        let parts = self.text().get(self.choices..).unwrap_or_default().split(';');
        let choices = parts.filter_map(|part| part.split_once('='));
        let (mut services, mut others) = (Vec::new(), Choice::any());
        for (service, choice) in choices.filter_map(|(service, choice)| Some((service, choice.parse().ok()?))) {
            if service == "*" {
                others = choice;
            } else {
                services.push((service.into(), choice));
            }
        }
        Lane::new(self.lane(), tag, services, others)
    }

    /// The selectors for one service, best first.
    pub fn choice(&self, service: &str) -> impl Iterator<Item = Selector<&str>> + Clone {
        let found = self.found(service);
        let choice = found.split_once('=').map_or("", |(_, choice)| choice);
        choice.split('|').filter_map(Selector::parse)
    }
}

/// Whether `name=choice` is that of this name.
fn is_of(part: &str, name: &str) -> bool {
    part.len() > name.len() && part.starts_with(name) && part.as_bytes()[name.len()] == b'='
}

impl fmt::Debug for LaneTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LaneTag").field(&self.text()).finish()
    }
}
