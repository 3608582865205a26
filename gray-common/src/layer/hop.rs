//! What a service knows of itself when a request arrives: whether to believe the tag, and whether it is the one that
//! should have got the request.

use std::{collections::HashMap, fmt, net::IpAddr, sync::Arc};

use arc_swap::{ArcSwap, ArcSwapOption};
use foldhash::quality::RandomState;
use gray_context::{BaggageUse, Extract, ReleaseContext, Standing, Verifier, WithoutBaggage, caller};
use gray_core::{
    instance::Instance,
    lane::{Selector, Verdict, Want},
    tag::GrayStatus,
};
use gray_registry::unix_seconds;
use gray_settings::{GraySettings, Invalid};
use metrics::Counter;

use crate::telemetry;

/// One service of the chain, as its own requests see it.
pub struct Hop {
    service: Box<str>,
    instance: Instance,
    settings: Arc<ArcSwapOption<GraySettings>>,
    callers: ArcSwap<Callers>,
}

/// Who called, each with its counters.
#[derive(Clone, Default)]
struct Callers {
    counters: HashMap<Box<str>, Arc<[Counter; Fit::ALL.len()]>, RandomState>,
    /// Who brought up a name that nothing vouched for.
    strangers: Vec<Option<IpAddr>>,
}

/// What vouches for the name that a caller gives itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Vouched {
    /// A good signature, or an address that needs none.
    BySignature,
    /// There are no signatures; the settings know the name.
    BySettings,
    /// There are no signatures.
    ByNothing,
    /// There are signatures, and it has none that is good.
    Not,
}

/// How a request and the instance that got it fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// What the lane or the tag wants most.
    Hit,
    /// What it allows for want of something better.
    Fallback,
    /// What every lane gets: the service is not under gray release, as this instance says no version.
    Unversioned,
    /// What it does not allow.
    Wrong,
    /// What it does not allow, and the request is an ordinary one.
    Leak,
    /// The request says nothing.
    Untagged,
}

impl Fit {
    /// All values, in the order of declaration.
    pub const ALL: [Self; 6] = [Self::Hit, Self::Fallback, Self::Unversioned, Self::Wrong, Self::Leak, Self::Untagged];

    /// The value in metrics and paths.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Fallback => "fallback",
            Self::Unversioned => "unversioned",
            Self::Wrong => "wrong",
            Self::Leak => "leak",
            Self::Untagged => "untagged",
        }
    }
}

/// The tag of a request was not signed as it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub Verdict);

impl Hop {
    /// Callers counted one by one; later ones count as `other`, so that a caller cannot fill the memory with names.
    const MAX_CALLERS: usize = 64;
    /// As many again for callers whose name is vouched for, so that others cannot take their places.
    const MAX_VOUCHED: usize = 128;
    /// Names that one address can bring up where nothing vouches for any.
    const MAX_PER_PEER: usize = 8;

    /// A service and the instance that it registers, with the space that it registers in when that is another than ours.
    pub fn new(service: &str, instance: Instance, settings: Arc<ArcSwapOption<GraySettings>>) -> Self {
        Self { service: service.into(), instance, settings, callers: ArcSwap::default() }
    }

    /// Takes in what a carrier says of a request: judges its signature, gathers what travels with it, and counts.
    ///
    /// # Errors
    /// When the signature is not good and the settings say to refuse.
    pub fn take_in(&self, carrier: &impl Extract, peer: Option<IpAddr>) -> Result<(ReleaseContext, Fit), Refused> {
        let settings = self.settings.load();
        let Some(settings) = settings.as_deref() else { return Ok((ReleaseContext::extract(carrier), Fit::Untagged)) };
        let (context, vouched) = if settings.mesh.baggage {
            count_baggage(BaggageUse::of(carrier));
            Self::believed(carrier, peer, settings)?
        } else {
            let (context, vouched) = Self::believed(&WithoutBaggage(carrier), peer, settings)?;
            (context.without_baggage(), vouched)
        };
        let fit = self.fit(&context, settings);
        self.count(caller(carrier), fit, (vouched, peer), settings);
        Ok((context.carrying(carrier, &settings.mesh.propagate), fit))
    }

    /// What of it is believed, and what vouches for the name of the caller.
    fn believed(
        carrier: &impl Extract,
        peer: Option<IpAddr>,
        settings: &GraySettings,
    ) -> Result<(ReleaseContext, Vouched), Refused> {
        Ok(match &settings.mesh.signing {
            None => (ReleaseContext::extract(carrier), Vouched::ByNothing),
            Some(signing) => {
                let verifier = Verifier::new(&signing.keys, unix_seconds(), signing.ttl);
                let is_trusted = || peer.is_some_and(|peer| signing.trusted_callers.contains(peer));
                let (context, standing) = ReleaseContext::extract_verified(carrier, &verifier, is_trusted);
                let vouched = match standing {
                    Standing::Signed | Standing::Trusted => Vouched::BySignature,
                    Standing::Silent => Vouched::Not,
                    Standing::Rejected(verdict) => {
                        metrics::counter!(telemetry::BAD_SIGNATURE_TOTAL, "reason" => reason(verdict)).increment(1);
                        if signing.invalid == Invalid::Refuse {
                            return Err(Refused(verdict));
                        }
                        Vouched::Not
                    }
                };
                (context, vouched)
            }
        })
    }

    fn fit(&self, context: &ReleaseContext, settings: &GraySettings) -> Fit {
        if context.tag.is_none() && context.lane().is_none() {
            return Fit::Untagged;
        }
        let choice = || context.choice(&self.service, &settings.policy, None);
        let selected = choice().position(|selector| self.instance.is_selected_by(selector));
        // Which namespace we are in only our callers know for certain, unless we were told where to register.
        let selected = selected.or_else(|| choice().position(|selector| self.instance.satisfies(selector.want)));
        match (selected, context.tag) {
            (Some(0), _) => Fit::Hit,
            (Some(_), _) => Fit::Fallback,
            (None, _) if self.is_unversioned(context, settings) => Fit::Unversioned,
            (None, Some(GrayStatus::Prod)) => Fit::Leak,
            (None, _) => Fit::Wrong,
        }
    }

    /// Whether callers choose among all instances, as far as one of them can tell.
    fn is_unversioned(&self, context: &ReleaseContext, settings: &GraySettings) -> bool {
        let is_named =
            context.lane().is_some_and(|lane| lane.names(&self.service)) || settings.is_versioned(&self.service);
        let lacks = |selector: Selector<&str>| {
            selector.space.is_none()
                && matches!(selector.want, Want::Is { key, .. } if self.instance.label(key).is_none())
        };
        !is_named
            && self.instance.version().is_none()
            && context.choice(&self.service, &settings.policy, None).all(lacks)
    }

    /// This hop in a path: `order-app@V2:hit`.
    pub fn told(&self, fit: Fit) -> String {
        format!("{}@{}:{}", self.service, self.instance.version().unwrap_or("-"), fit.as_str())
    }

    fn count(
        &self,
        caller: Option<&str>,
        fit: Fit,
        (vouched, peer): (Vouched, Option<IpAddr>),
        settings: &GraySettings,
    ) {
        let caller = caller.unwrap_or(UNKNOWN);
        let known = self.callers.load();
        let count = |caller: &str| known.counters.get(caller).map(|counters| counters[fit as usize].increment(1));
        if count(caller).is_some() {
            return;
        }
        let vouched = match vouched {
            Vouched::ByNothing if is_named(settings, service_of(caller)) => Vouched::BySettings,
            vouched => vouched,
        };
        // One name for all who say none: it takes no place from others, and has its own.
        let name = if caller == UNKNOWN || known.has_room(vouched, peer) { caller } else { OTHER };
        if count(name).is_some() {
            return;
        }
        let counters = Arc::new(Fit::ALL.map(|fit| {
            metrics::counter!(telemetry::EDGE_REQUESTS_TOTAL, "from" => name.to_owned(), "to" => self.service.to_string(),
                "fit" => fit.as_str())
        }));
        counters[fit as usize].increment(1);
        // Of two at once one addition is lost, and made by the next request.
        let mut more = Callers::clone(&known);
        more.counters.insert(name.into(), counters);
        if vouched == Vouched::ByNothing && ![UNKNOWN, OTHER].contains(&name) {
            more.strangers.push(peer.map(network));
        }
        self.callers.store(Arc::new(more));
    }
}

impl Callers {
    /// Whether one name more gets counters of its own.
    fn has_room(&self, vouched: Vouched, peer: Option<IpAddr>) -> bool {
        let peer = peer.map(network);
        let of_peer = || self.strangers.iter().filter(|stranger| **stranger == peer).count();
        match vouched {
            Vouched::BySignature | Vouched::BySettings => self.counters.len() < Hop::MAX_VOUCHED,
            Vouched::ByNothing => {
                self.strangers.len() < Hop::MAX_CALLERS && (peer.is_none() || of_peer() < Hop::MAX_PER_PEER)
            }
            Vouched::Not => false,
        }
    }
}

/// Who did not say who it is.
const UNKNOWN: &str = "unknown";
/// Callers not counted by name.
const OTHER: &str = "other";
/// What gateways call themselves.
const GATEWAY: &str = "gateway-app";

/// The service in `order-app@V1`.
fn service_of(caller: &str) -> &str {
    caller.split_once('@').map_or(caller, |(service, _)| service)
}

/// Whether the settings know a service by name.
fn is_named(settings: &GraySettings, service: &str) -> bool {
    service == GATEWAY || settings.names(service)
}

/// All addresses of one client: it may have a whole network of IPv6.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address => address,
    }
}

fn count_baggage(how: BaggageUse) {
    let outcome = match how {
        BaggageUse::None => return,
        BaggageUse::Source => "used",
        BaggageUse::Conflict => "conflict",
    };
    metrics::counter!(telemetry::BAGGAGE_TOTAL, "outcome" => outcome).increment(1);
}

fn reason(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Valid => "valid",
        Verdict::Unsigned => "unsigned",
        Verdict::Forged => "forged",
        Verdict::Expired => "expired",
    }
}

impl fmt::Debug for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hop").field("service", &self.service).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
