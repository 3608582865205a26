//! One condition on one fact.

use std::{collections::HashSet, net::IpAddr, str::FromStr};

use http::HeaderName;
use ipnet::IpNet;

use super::Facts;

/// A condition; a missing fact never satisfies it.
#[derive(Clone, Debug)]
pub enum Matcher {
    /// The header's first value equals the text, byte by byte.
    Header {
        /// Which header.
        name: HeaderName,
        /// Which value.
        value: Box<[u8]>,
    },
    /// The header's first value is one of these.
    HeaderIn {
        /// Which header.
        name: HeaderName,
        /// Which values.
        values: HashSet<Box<[u8]>>,
    },
    /// The client's address is in the set.
    ClientIp(IpSet),
    /// The client's city is one of these; a trailing 市 on either side does not count.
    City(HashSet<Box<str>>),
}

impl Matcher {
    /// A city matcher for these names.
    pub fn city<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self::City(names.into_iter().map(|name| plain_city(name).into()).collect())
    }

    pub(super) fn matches(&self, facts: &impl Facts) -> bool {
        match self {
            Self::Header { name, value } => facts.header(name) == Some(value),
            Self::HeaderIn { name, values } => facts.header(name).is_some_and(|value| values.contains(value)),
            Self::ClientIp(set) => facts.client_ip().is_some_and(|ip| set.contains(ip)),
            Self::City(names) => facts.city().is_some_and(|city| names.contains(plain_city(city))),
        }
    }
}

/// ip2region says 杭州市 where people write 杭州.
fn plain_city(name: &str) -> &str {
    let name = name.trim();
    name.strip_suffix('市').unwrap_or(name)
}

/// Addresses and networks. IPv4 written as IPv4-mapped IPv6 is the same address.
#[derive(Clone, Debug, Default)]
pub struct IpSet {
    hosts: HashSet<IpAddr>,
    networks: Vec<IpNet>,
}

impl IpSet {
    /// Whether the address is in the set.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.hosts.contains(&ip) || self.networks.iter().any(|network| network.contains(&ip))
    }

    /// Whether no address can match.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.networks.is_empty()
    }

    /// Adds `10.0.0.1` or `10.0.0.0/8`, IPv6 likewise.
    ///
    /// # Errors
    /// When the text is neither.
    pub fn insert(&mut self, text: &str) -> Result<(), InvalidAddress> {
        let text = text.trim();
        if let Ok(ip) = IpAddr::from_str(text) {
            self.hosts.insert(ip.to_canonical());
        } else {
            self.networks.push(text.parse::<IpNet>().map_err(|_| InvalidAddress(text.into()))?.trunc());
        }
        Ok(())
    }
}

/// The text is no address and no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an IP address nor a network such as 10.0.0.0/8")]
pub struct InvalidAddress(Box<str>);
