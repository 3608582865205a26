//! What rules may ask about a request.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};

/// Facts about one request. Asked lazily: a fact that no rule needs is never computed.
pub trait Facts {
    /// First value of a header (a second one is ignored, as in the Java demo); `None` when absent.
    fn header(&self, name: &HeaderName) -> Option<&[u8]>;
    /// Address of the client: the peer, or what a trusted hop says.
    fn client_ip(&self) -> Option<IpAddr>;
    /// City of the client's address; `None` when it is unknown or no city data is loaded.
    fn city(&self) -> Option<&str>;
}

/// Facts from a header map.
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts<'r> {
    /// The headers as the client sent them.
    pub headers: &'r HeaderMap,
    /// Address of the client.
    pub client_ip: Option<IpAddr>,
    /// City of the client.
    pub city: Option<&'r str>,
}

impl Facts for RequestFacts<'_> {
    fn header(&self, name: &HeaderName) -> Option<&[u8]> {
        self.headers.get(name).map(|value| value.as_bytes())
    }

    fn client_ip(&self) -> Option<IpAddr> {
        self.client_ip
    }

    fn city(&self) -> Option<&str> {
        self.city
    }
}
