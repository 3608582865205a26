//! Networks that predicates ask for.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::text::quoted;

/// Whether the address is in any of them.
pub(super) fn holds(networks: &[IpNet], address: Option<IpAddr>) -> bool {
    let address = address.map(|address| address.to_canonical());
    address.is_some_and(|address| networks.iter().any(|network| network.contains(&address)))
}

/// Reads an address or a network.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse().map(|address: std::net::IpAddr| IpNet::from(address)));
    network.map(canonical).map_err(|_| format!("{} is not an address or a network such as 10.0.0.0/8", quoted(text)))
}

/// A network of IPv4 that is written as one of IPv6 (`::ffff:10.0.0.0/104`) is what addresses are looked for in.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let (address, length) = (mapped.addr().to_ipv4_mapped(), mapped.prefix_len().checked_sub(96));
    let v4 = address.zip(length).and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    v4.map_or(network, IpNet::V4)
}
