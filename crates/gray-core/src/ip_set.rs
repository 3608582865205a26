//! Sets of addresses.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;

/// Addresses and networks. IPv4 written as IPv4-mapped IPv6 is the same address.
///
/// Kept as ranges in order that neither touch nor overlap, so a look-up is a binary search, however they were written.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct IpSet {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl IpSet {
    /// Whether the address is in the set.
    #[inline]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(ip) => within(&self.v4, ip.to_bits()),
            IpAddr::V6(ip) => within(&self.v6, ip.to_bits()),
        }
    }

    /// Whether no address can match.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Its IPv4 ranges, in order: first and last address of each.
    pub fn v4(&self) -> &[(u32, u32)] {
        &self.v4
    }

    /// Its IPv6 ranges, likewise.
    pub fn v6(&self) -> &[(u128, u128)] {
        &self.v6
    }

    /// Adds `10.0.0.1` or `10.0.0.0/8`, IPv6 likewise. Many are better collected ([`FromIterator`]).
    ///
    /// # Errors
    /// When the text is neither.
    pub fn insert(&mut self, text: &str) -> Result<(), InvalidAddress> {
        text.parse().map(|addresses: Addresses| self.extend([addresses]))
    }
}

impl Extend<Addresses> for IpSet {
    fn extend<T: IntoIterator<Item = Addresses>>(&mut self, all: T) {
        for addresses in all {
            match addresses.0 {
                IpNet::V4(net) => self.v4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => self.v6.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        join(&mut self.v4, |end| end.checked_add(1));
        join(&mut self.v6, |end| end.checked_add(1));
    }
}

impl FromIterator<Addresses> for IpSet {
    fn from_iter<T: IntoIterator<Item = Addresses>>(all: T) -> Self {
        let mut set = Self::default();
        set.extend(all);
        set
    }
}

impl fmt::Debug for IpSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v4 = self.v4.iter().map(|&(from, to)| (IpAddr::V4(from.into()), IpAddr::V4(to.into())));
        let v6 = self.v6.iter().map(|&(from, to)| (IpAddr::V6(from.into()), IpAddr::V6(to.into())));
        f.debug_list().entries(v4.chain(v6)).finish()
    }
}

#[inline]
fn within<T: Ord + Copy>(ranges: &[(T, T)], ip: T) -> bool {
    let after = ranges.partition_point(|&(from, _)| from <= ip);
    after.checked_sub(1).and_then(|place| ranges.get(place)).is_some_and(|&(_, to)| ip <= to)
}

/// Sorts, and makes one range of those that touch or overlap.
fn join<T: Ord + Copy>(ranges: &mut Vec<(T, T)>, next: impl Fn(T) -> Option<T>) {
    ranges.sort_unstable();
    ranges.dedup_by(|(from, to), (_, end)| {
        let joined = next(*end).is_none_or(|next| *from <= next);
        if joined {
            *end = (*end).max(*to);
        }
        joined
    });
}

/// One address or one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses(IpNet);

impl FromStr for Addresses {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let net = match text.parse::<IpAddr>() {
            Ok(ip) => ip.to_canonical().into(),
            Err(_) => text.parse::<IpNet>().map_err(|_| InvalidAddress(text.into()))?.trunc(),
        };
        Ok(Self(net))
    }
}

/// The text is neither an address nor a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an IP address nor a network such as 10.0.0.0/8")]
pub struct InvalidAddress(Box<str>);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However many there are and however they overlap: the set has what one of them has.
        #[test]
        fn a_set_has_what_its_parts_have(
            parts in prop::collection::vec((0u32..64, 24u8..=32, any::<bool>()), 0..20), asked in 0u32..80, v6: bool,
        ) {
            let network = |&(bits, prefix, v6): &(u32, u8, bool)| -> IpNet {
                let prefix = if v6 { prefix + 96 } else { prefix };
                IpNet::new(ip(bits, v6), prefix).expect("a network").trunc()
            };
            fn ip(bits: u32, v6: bool) -> IpAddr {
                if v6 { IpAddr::V6((1 << 127 | u128::from(bits)).into()) } else { IpAddr::V4(bits.into()) }
            }
            let networks: Vec<_> = parts.iter().map(network).collect();
            let set: IpSet = networks.iter().map(|network| Addresses(*network)).collect();
            let mut one_by_one = IpSet::default();
            networks.iter().for_each(|network| one_by_one.insert(&network.to_string()).expect("a network"));
            prop_assert_eq!(&set, &one_by_one);
            let expect = networks.iter().any(|network| network.contains(&ip(asked, v6)));
            prop_assert_eq!(set.contains(ip(asked, v6)), expect);
        }
    }
}
