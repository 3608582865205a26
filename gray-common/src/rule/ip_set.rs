//! Sets of addresses.

use std::{collections::HashSet, net::IpAddr, str::FromStr};

use ipnet::IpNet;

/// Addresses and networks. IPv4 written as IPv4-mapped IPv6 is the same address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
