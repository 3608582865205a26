//! What rules may ask about a request.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};

use super::{KeyServer, KeySet, Source, Value};

/// Facts about one request, as the client sent it. Asked lazily: a fact that no rule needs is never computed.
pub trait Facts {
    /// The values of a header, in order. Rules look at the first one only, as the Java demo does.
    fn headers<'f>(&'f self, name: &HeaderName) -> impl Iterator<Item = &'f [u8]>;
    /// The method.
    fn method(&self) -> &str;
    /// The path as sent, before any filter.
    fn path(&self) -> &str;
    /// The query as sent, without `?`.
    fn query(&self) -> Option<&str>;
    /// The host that was asked for, without port.
    fn host(&self) -> Option<&str>;
    /// Address of the client: the peer, or what a trusted hop says.
    fn client_ip(&self) -> Option<IpAddr>;
    /// City of the client's address; `None` when it is unknown or no city data is loaded.
    fn city(&self) -> Option<&str>;
    /// The time, in Unix seconds.
    fn now(&self) -> u64;
    /// A uniformly random number, the same for one request throughout.
    fn random(&self) -> u64;
    /// The keys that this server publishes, of which the one with this id is wanted; `None`: they have not been fetched.
    fn keys(&self, _server: &KeyServer, _id: Option<&str>) -> Option<&KeySet> {
        None
    }
    /// What a fact was found to be before: a record has values and no longer the request they came from. `None`: it
    /// has to be looked up in the request.
    fn kept(&self, _source: &Source) -> Option<Option<Value<'_>>> {
        None
    }
}

/// Facts that are all there already: for `explain`, replay and tests.
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts<'r> {
    /// The method.
    pub method: &'r str,
    /// The path.
    pub path: &'r str,
    /// The query, without `?`.
    pub query: Option<&'r str>,
    /// The host, without port.
    pub host: Option<&'r str>,
    /// The headers as the client sent them.
    pub headers: &'r HeaderMap,
    /// Address of the client.
    pub client_ip: Option<IpAddr>,
    /// City of the client.
    pub city: Option<&'r str>,
    /// The time, in Unix seconds.
    pub now: u64,
    /// A random number.
    pub random: u64,
}

impl<'r> RequestFacts<'r> {
    /// `GET /` with these headers, from nowhere, at the beginning of time.
    pub fn new(headers: &'r HeaderMap) -> Self {
        let (query, host, client_ip, city) = (None, None, None, None);
        Self { method: "GET", path: "/", query, host, headers, client_ip, city, now: 0, random: 0 }
    }
}

impl Facts for RequestFacts<'_> {
    fn headers<'f>(&'f self, name: &HeaderName) -> impl Iterator<Item = &'f [u8]> {
        self.headers.get_all(name).iter().map(|value| value.as_bytes())
    }

    fn method(&self) -> &str {
        self.method
    }

    fn path(&self) -> &str {
        self.path
    }

    fn query(&self) -> Option<&str> {
        self.query
    }

    fn host(&self) -> Option<&str> {
        self.host
    }

    fn client_ip(&self) -> Option<IpAddr> {
        self.client_ip
    }

    fn city(&self) -> Option<&str> {
        self.city
    }

    fn now(&self) -> u64 {
        self.now
    }

    fn random(&self) -> u64 {
        self.random
    }
}
