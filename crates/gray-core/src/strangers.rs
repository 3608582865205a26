//! Who is everybody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses from all over IPv4.
const V4: [[u8; 4]; 8] = [
    [1, 1, 1, 1],
    [8, 8, 8, 8],
    [45, 33, 32, 156],
    [93, 184, 216, 34],
    [139, 130, 4, 5],
    [185, 199, 108, 153],
    [203, 0, 113, 7],
    [223, 5, 5, 5],
];
/// Addresses from all over IPv6.
const V6: [[u16; 8]; 4] = [
    [0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888],
    [0x2606, 0x4700, 0x4700, 0, 0, 0, 0, 0x1111],
    [0x2a00, 0x1450, 0x4001, 0x800, 0, 0, 0, 0x200e],
    [0x2400, 0x3200, 0, 0, 0, 0, 0, 1],
];

/// Whether every address is taken, of IPv4 or of IPv6, as far as a dozen that have nothing in common tell: then no address is
/// distinguished by being taken.
pub fn takes_everybody(is_taken: impl Fn(IpAddr) -> bool) -> bool {
    V4.iter().all(|&octets| is_taken(Ipv4Addr::from(octets).into()))
        || V6.iter().all(|&segments| is_taken(Ipv6Addr::from(segments).into()))
}

#[cfg(test)]
mod tests {
    use super::takes_everybody;
    use crate::IpSet;

    #[test]
    fn networks_that_are_everybody() {
        for (networks, expect) in [
            (&["0.0.0.0/0"][..], true),
            (&["::/0"], true),
            (&["10.0.0.0/8", "0.0.0.0/1", "128.0.0.0/1"], true),
            (&["2000::/3"], true),
            (&["0.0.0.0/1"], false),
            (&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "::1"], false),
            (&[], false),
        ] {
            let mut set = IpSet::default();
            for network in networks {
                set.insert(network).expect("a network");
            }
            assert_eq!(takes_everybody(|address| set.contains(address)), expect, "{networks:?}");
        }
    }
}
