//! One request, as everything that judges it or writes it anew sees it.

use std::{borrow::Cow, cell::OnceCell, net::IpAddr};

use gray_registry::unix_seconds;
use gray_rules::{Facts, KeyServer, KeySet};
use gray_settings::TrustedHeaders;
use http::HeaderName;

use super::{
    check::Checked,
    forwarded::{Asked, Forwarded},
};
use crate::{
    client_address::client_address,
    geo::{self, CityData},
    keys::KeySets,
    proxy::http1::RequestHead,
    route::Lookup,
    snapshot::Snapshot,
};

/// What a question says of a request that is only asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given<'q> {
    /// Address of the client, and of the peer.
    pub(crate) client_ip: IpAddr,
    /// City of the client; `None`: it is looked up.
    pub(crate) city: Option<&'q str>,
    /// The time, in Unix seconds; `None`: it is now.
    pub(crate) now: Option<u64>,
    /// The random number.
    pub(crate) random: u64,
}

/// A request whose head was read and checked, shown where it lies: nothing is copied. Routes, rules, limits, filters, what
/// is written and `/explain` look at it through this one type, so that they cannot see different values of one thing.
pub(crate) struct RequestView<'r, 'b> {
    /// The head: method, target and fields, as sent.
    pub(super) request: &'r RequestHead<'r, 'b>,
    /// What the checks made of it: path, query, framing.
    pub(super) checked: &'r Checked<'b>,
    /// The host that is asked.
    pub(super) asked: &'r Asked,
    /// Where it came in: the peer and the scheme.
    pub(super) forwarded: &'r Forwarded,
    /// The family of forwarding headers that is believed; `None`: the peer is not trusted.
    pub(super) trusted: Option<TrustedHeaders>,
    /// Address of the client: the peer, or what a trusted peer says.
    pub(super) client_ip: IpAddr,
    /// A random number: for the weights of routes and the shares of rules.
    random: u64,
    /// The keys that its token may be verified by.
    keys: &'r KeySets,
    /// Where the city is looked up.
    cities: Option<&'r CityData>,
    /// The city, once it was looked up.
    city: OnceCell<Option<&'r str>>,
    /// The time, in Unix seconds, as of the first look at it.
    now: OnceCell<u64>,
}

impl<'r, 'b> RequestView<'r, 'b> {
    /// Of a request that has just come in. `random` is uniformly distributed.
    pub(super) fn new(
        request: &'r RequestHead<'r, 'b>,
        (checked, asked): (&'r Checked<'b>, &'r Asked),
        forwarded: &'r Forwarded,
        snapshot: &'r Snapshot,
        random: u64,
    ) -> Self {
        let (peer, hops, family) = (forwarded.peer(), &snapshot.trusted_hops, snapshot.trusted_headers);
        Self {
            request,
            checked,
            asked,
            forwarded,
            trusted: hops.contains(peer).then_some(family),
            client_ip: client_address(peer, request.head.fields, hops, family),
            random,
            keys: &snapshot.keys,
            cities: snapshot.city.as_deref(),
            city: OnceCell::new(),
            now: OnceCell::new(),
        }
    }

    /// What the client itself has asked: the scheme and the authority, which only a trusted peer may say otherwise.
    pub(super) fn origin(&self) -> (&str, Cow<'_, str>) {
        let trusted = self.trusted.map(|family| (self.request.head.fields, family));
        let said = self.forwarded.said(self.asked, trusted);
        (said.scheme.as_str(), said.authority().unwrap_or_default())
    }

    /// The same with what a question says of it, in place of what would be found out.
    pub(super) fn given(self, given: &Given<'r>) -> Self {
        Self {
            client_ip: given.client_ip,
            random: given.random,
            city: given.city.map(|city| OnceCell::from(Some(city))).unwrap_or_default(),
            now: given.now.map(OnceCell::from).unwrap_or_default(),
            ..self
        }
    }
}

impl Facts for RequestView<'_, '_> {
    fn headers<'f>(&'f self, name: &HeaderName) -> impl Iterator<Item = &'f [u8]> {
        self.request.head.fields.all(name.as_str())
    }

    fn method(&self) -> &str {
        self.request.method.as_str()
    }

    fn path(&self) -> &str {
        self.checked.path
    }

    fn query(&self) -> Option<&str> {
        self.checked.query
    }

    fn host(&self) -> Option<&str> {
        self.asked.name()
    }

    fn client_ip(&self) -> Option<IpAddr> {
        Some(self.client_ip)
    }

    fn city(&self) -> Option<&str> {
        *self.city.get_or_init(|| geo::city(self.client_ip, self.cities))
    }

    fn now(&self) -> u64 {
        *self.now.get_or_init(unix_seconds)
    }

    fn random(&self) -> u64 {
        self.random
    }

    fn keys(&self, server: &KeyServer, id: Option<&str>) -> Option<&KeySet> {
        self.keys.find(server, id)
    }
}

impl Lookup for RequestView<'_, '_> {
    fn peer(&self) -> Option<IpAddr> {
        Some(self.forwarded.peer())
    }

    fn authority(&self) -> Option<&str> {
        self.asked.host()
    }
}

#[cfg(test)]
mod tests {
    use http::header::{COOKIE, HOST};

    use super::*;
    use crate::{
        proxy::{
            Limits,
            http1::{read_request, room},
            request::check,
        },
        scheme::Scheme,
    };

    const HEAD: &str =
        "GET /a%20b?q=1 HTTP/1.1\r\nHost: Shop:7000\r\ncookie: a=1\r\nX-Forwarded-For: 9.9.9.9\r\nCookie: b=2\r\n\r\n";

    /// What is seen of the request when it comes from this peer and private networks are trusted.
    fn seen<T>(peer: [u8; 4], given: Option<Given<'_>>, see: impl FnOnce(&RequestView<'_, '_>) -> T) -> T {
        let mut snapshot = Snapshot::empty();
        let mut hops = gray_core::IpSet::default();
        hops.insert("10.0.0.0/8").expect("a network");
        snapshot.trusted_hops = hops.into();
        let mut room = room();
        let request = read_request(HEAD.as_bytes(), &mut room, 100).expect("a request");
        let forwarded = Forwarded::new((peer, 4321).into(), Scheme::Http);
        let (checked, asked) = check::admitted(&request, &Limits::default(), &forwarded).expect("admitted");
        let view = RequestView::new(&request, (&checked, &*asked), &forwarded, &snapshot, 7);
        see(&match given {
            Some(given) => view.given(&given),
            None => view,
        })
    }

    #[test]
    fn routes_and_rules_see_the_bytes_that_came() {
        let facts = seen([8, 8, 8, 8], None, |view| {
            let values = |name| view.headers(name).map(|value| String::from_utf8_lossy(value).into_owned()).collect();
            let (cookies, hosts): (Vec<_>, Vec<_>) = (values(&COOKIE), values(&HOST));
            let line = format!("{} {} {:?} {:?}", view.method(), view.path(), view.query(), view.host());
            (line, cookies.join(";"), hosts.join(";"), view.random())
        });
        let line = r#"GET /a%20b Some("q=1") Some("Shop")"#;
        assert_eq!(facts, (line.to_owned(), "a=1;b=2".to_owned(), "Shop:7000".to_owned(), 7));
    }

    #[test]
    fn the_client_is_the_peer_unless_that_is_trusted() {
        let who = |view: &RequestView<'_, '_>| (view.peer(), view.client_ip(), view.trusted.is_some());
        let (hop, stranger, client) = ([10, 0, 0, 1], [8, 8, 8, 8], [9, 9, 9, 9]);
        assert_eq!(seen(hop, None, who), (Some(hop.into()), Some(client.into()), true));
        assert_eq!(seen(stranger, None, who), (Some(stranger.into()), Some(stranger.into()), false));
    }

    #[test]
    fn a_question_fixes_what_would_be_found_out() {
        let asked = |city, now| {
            let given = Given { client_ip: [10, 0, 0, 1].into(), city, now, random: 3 };
            seen([10, 0, 0, 1], Some(given), |view| {
                let city = view.city().map(str::to_owned);
                (view.client_ip(), city, view.now(), view.random())
            })
        };
        let client = Some([10, 0, 0, 1].into());
        assert_eq!(asked(Some("杭州"), Some(5)), (client, Some("杭州".to_owned()), 5, 3));
        let (_, city, now, _) = asked(None, None);
        assert_eq!(city.as_deref(), Some(geo::LOCAL), "looked up");
        assert!(now > 1_700_000_000, "{now}");
    }
}
