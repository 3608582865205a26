//! Where an egress connects to, besides the registry: what a list allows, judged by the address that a name has turned out
//! to have, so that the owner of the name in DNS cannot send requests elsewhere.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use gray_core::IpSet;

use super::{denial::Denial, host::Host};
use crate::keys::{is_never_asked, is_public};

/// One entry of the list: `HOST`, `*.DOMAIN` or a network, with a port, `*` for any, or without: 80 and 443.
#[derive(Clone, Debug)]
pub struct Allowed {
    host: HostPattern,
    port: Ports,
    /// The operator's own: its name may have any address.
    is_infrastructure: bool,
}

#[derive(Clone, Debug)]
enum HostPattern {
    Network(IpSet),
    Name(Box<str>),
    /// What ends with this, which begins with a dot.
    Below(Box<str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ports {
    Usual,
    Any,
    One(u16),
}

impl Ports {
    fn has(self, port: u16) -> bool {
        match self {
            Self::Usual => matches!(port, 80 | 443),
            Self::Any => true,
            Self::One(one) => one == port,
        }
    }
}

impl FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || {
            format!(
                "`{text}` is not a destination: expected HOST, *.DOMAIN, an address or a network, each with :PORT or :* \
                 (any port), such as api.example.com:443, 10.0.0.0/8:* or [fd00::1]:8080"
            )
        };
        let text = text.trim();
        let end = match text.strip_prefix('[') {
            Some(rest) => rest.find(']').map(|at| at + 2).ok_or_else(invalid)?,
            // An IPv6 network has no port unless it is in brackets.
            None if text.matches(':').count() > 1 => text.len(),
            None => text.find(':').unwrap_or(text.len()),
        };
        let (host, port) = text.split_at_checked(end).ok_or_else(invalid)?;
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => Ports::Usual,
            Some("*") => Ports::Any,
            Some(port) => port.parse().ok().filter(|port| *port != 0).map(Ports::One).ok_or_else(invalid)?,
            None => return Err(invalid()),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let mut network = IpSet::default();
        let host = if network.insert(bare).is_ok() {
            HostPattern::Network(network)
        } else {
            let (below, name) = host.strip_prefix("*.").map_or((false, host), |name| (true, name));
            if name.contains(':') || !gray_http1::is_host(name.as_bytes()) {
                return Err(invalid());
            }
            match Host::of(name) {
                Host::Address(_) => return Err(invalid()),
                Host::Name(name) if below => HostPattern::Below(format!(".{name}").into()),
                Host::Name(name) => HostPattern::Name(name.into()),
            }
        };
        Ok(Self { host, port, is_infrastructure: false })
    }
}

impl Allowed {
    /// A server that the gateway's own flags or environment name: `HOST:PORT`, or a URL.
    pub(crate) fn infrastructure(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once("://").map_or((None, text.trim()), |(s, rest)| (Some(s), rest));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        // Eureka's servers have names and passwords, and a zone in front: `ZONE=URL`.
        let authority = authority.rsplit_once('@').map_or(authority, |(_, authority)| authority);
        let (name, port) = gray_http1::read_host(authority)?;
        let port = match (port, scheme) {
            (Some(port), _) => port.parse().ok()?,
            (None, Some(scheme)) if scheme.rsplit('=').next().is_some_and(|s| s.eq_ignore_ascii_case("https")) => 443,
            (None, _) => 80,
        };
        let host = match Host::of(name) {
            Host::Address(ip) => {
                let mut network = IpSet::default();
                network.insert(&ip.to_string()).ok()?;
                HostPattern::Network(network)
            }
            Host::Name(name) => HostPattern::Name(name.into()),
        };
        Some(Self { host, port: Ports::One(port), is_infrastructure: true })
    }

    fn has_name(&self, name: &str, port: u16) -> bool {
        let is_it = match &self.host {
            HostPattern::Network(_) => false,
            HostPattern::Name(known) => **known == *name,
            HostPattern::Below(end) => name.len() > end.len() && name.ends_with(&**end),
        };
        is_it && self.port.has(port)
    }

    fn has_address(&self, ip: IpAddr, port: u16) -> bool {
        matches!(&self.host, HostPattern::Network(network) if network.contains(ip)) && self.port.has(port)
    }
}

/// What may be connected to.
#[derive(Debug, Default)]
pub struct Reach {
    allowed: Box<[Allowed]>,
    /// Ports of this process, on which it serves requests and its admin side.
    proxy_port: u16,
    admin_port: u16,
}

impl Reach {
    /// With this list, for a process that serves requests and its admin side on these ports.
    pub fn new(allowed: impl IntoIterator<Item = Allowed>, proxy_port: u16, admin_port: u16) -> Self {
        Self { allowed: allowed.into_iter().collect(), proxy_port, admin_port }
    }

    /// Whether requests for a host that the registry does not know may go there, as far as the host tells.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn judge_host(&self, host: &Host<'_>, port: u16) -> Result<(), Denial> {
        match host {
            Host::Address(ip) => {
                if ip.is_loopback() || ip.is_unspecified() {
                    self.judge_own(port)?;
                }
                self.judge_outside(None, (*ip, port).into())
            }
            Host::Name(name) if self.allowed.iter().any(|allowed| allowed.has_name(name, port)) => Ok(()),
            Host::Name(_) => Err(Denial::NotListed),
        }
    }

    /// Whether an address may be connected to: that of an instance of the registry.
    pub(crate) fn judge_instance(&self, address: SocketAddr) -> Result<(), Denial> {
        if is_never_reached(address.ip()) { Err(Denial::Never) } else { Ok(()) }
    }

    /// The same of an address that the registry does not know: of a name, or asked for as it is.
    pub(crate) fn judge_outside(&self, name: Option<&str>, address: SocketAddr) -> Result<(), Denial> {
        self.judge_instance(address)?;
        let (ip, port) = (address.ip().to_canonical(), address.port());
        let is_named = |allowed: &Allowed| name.is_some_and(|name| allowed.has_name(name, port));
        let is_taken = |allowed: &Allowed| {
            allowed.has_address(ip, port) || (is_named(allowed) && (allowed.is_infrastructure || is_public(ip)))
        };
        if self.allowed.iter().any(is_taken) {
            return Ok(());
        }
        Err(if self.allowed.iter().any(is_named) { Denial::NotPublic } else { Denial::NotListed })
    }

    /// Whether a port of this machine may be connected to: not those of this process.
    pub(crate) fn judge_own(&self, port: u16) -> Result<(), Denial> {
        match port {
            port if port == self.proxy_port => Err(Denial::Itself),
            port if port == self.admin_port => Err(Denial::Admin),
            _ => Ok(()),
        }
    }
}

/// Where clouds keep what their machines may know, and what is not one machine.
fn is_never_reached(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    is_never_asked(ip)
        || match ip {
            IpAddr::V4(ip) => METADATA.contains(&ip),
            IpAddr::V6(ip) => METADATA_V6.contains(&ip) || held(ip).is_some_and(|ip| is_never_reached(ip.into())),
        }
}

/// Metadata that is not link-local: Alibaba Cloud, Azure, Oracle Cloud.
const METADATA: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
/// AWS, Google Cloud.
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// The IPv4 address within one of IPv6: translated (RFC 6052, RFC 8215), 6to4, or of the form `::a.b.c.d`.
fn held(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match (a, b, c, d, e, f) {
        (0x64, 0xff9b, ..) => v4(g, h),
        (0x2002, ..) => v4(b, c),
        (0, 0, 0, 0, 0, 0) if (g, h) != (0, 1) => v4(g, h),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(list: &[&str]) -> Reach {
        let infrastructure = ["nacos:8848", "http://collector:4318/v1/traces", "http://u:p@eureka:8761/eureka/"];
        let infrastructure = infrastructure.iter().map(|text| Allowed::infrastructure(text).expect(text));
        let listed = list.iter().map(|text| text.parse().expect(text));
        Reach::new(infrastructure.chain(listed), 15_001, 7001)
    }

    #[test]
    fn hosts_are_listed_with_their_ports() {
        let reach =
            reach(&["api.example.com", "*.partner.example:8443", "10.1.0.0/16:*", "[fd00::1]:8080", "192.0.2.7"]);
        for (host, port, expect) in [
            ("api.example.com", 443, Ok(())),
            ("API.example.com.", 80, Ok(())),
            ("api.example.com", 8080, Err(Denial::NotListed)),
            ("xapi.example.com", 443, Err(Denial::NotListed)),
            ("a.partner.example", 8443, Ok(())),
            ("partner.example", 8443, Err(Denial::NotListed)),
            ("evilpartner.example", 8443, Err(Denial::NotListed)),
            ("10.1.2.3", 9000, Ok(())),
            ("[::ffff:10.1.2.3]", 9000, Ok(())),
            ("10.2.0.1", 9000, Err(Denial::NotListed)),
            ("[fd00::1]", 8080, Ok(())),
            ("[fd00::1]", 80, Err(Denial::NotListed)),
            ("192.0.2.7", 80, Ok(())),
            ("nacos", 8848, Ok(())),
            ("nacos", 9848, Err(Denial::NotListed)),
            ("collector", 4318, Ok(())),
            ("eureka", 8761, Ok(())),
            ("127.0.0.1", 15_001, Err(Denial::Itself)),
            ("0.0.0.0", 15_001, Err(Denial::Itself)),
            ("[::1]", 15_001, Err(Denial::Itself)),
            ("127.0.0.1", 7001, Err(Denial::Admin)),
            ("[::ffff:127.0.0.1]", 7001, Err(Denial::Admin)),
            ("169.254.169.254", 80, Err(Denial::Never)),
        ] {
            assert_eq!(reach.judge_host(&Host::of(host), port), expect, "{host} {port}");
        }
    }

    #[test]
    fn a_name_is_judged_by_its_address() {
        let reach = reach(&["api.example.com", "db.internal:*", "10.1.0.0/16:5432"]);
        for (name, address, expect) in [
            (Some("api.example.com"), "8.8.8.8:443", Ok(())),
            (Some("api.example.com"), "10.0.0.1:443", Err(Denial::NotPublic)),
            (Some("api.example.com"), "127.0.0.1:443", Err(Denial::NotPublic)),
            (Some("api.example.com"), "[::1]:443", Err(Denial::NotPublic)),
            (Some("api.example.com"), "[::ffff:10.0.0.1]:443", Err(Denial::NotPublic)),
            (Some("api.example.com"), "169.254.169.254:80", Err(Denial::Never)),
            (Some("db.internal"), "10.1.2.3:5432", Ok(())),
            (Some("db.internal"), "10.1.2.3:22", Err(Denial::NotPublic)),
            (Some("nacos"), "10.0.0.5:8848", Ok(())),
            (Some("nacos"), "127.0.0.1:8848", Ok(())),
            (Some("nacos"), "169.254.1.1:8848", Err(Denial::Never)),
            (Some("other"), "8.8.8.8:443", Err(Denial::NotListed)),
            (None, "8.8.8.8:443", Err(Denial::NotListed)),
        ] {
            assert_eq!(reach.judge_outside(name, address.parse().expect(address)), expect, "{name:?} {address}");
        }
    }

    #[test]
    fn what_is_never_reached() {
        for (ip, is_never) in [
            ("169.254.169.254", true),
            ("169.254.170.2", true),
            ("::ffff:169.254.169.254", true),
            ("::169.254.169.254", true),
            ("64:ff9b::a9fe:a9fe", true),
            ("64:ff9b:1::a9fe:a9fe", true),
            ("2002:a9fe:a9fe::1", true),
            ("fe80::1", true),
            ("fd00:ec2::254", true),
            ("fd20:ce::254", true),
            ("100.100.100.200", true),
            ("168.63.129.16", true),
            ("192.0.0.192", true),
            ("0.0.0.0", true),
            ("::", true),
            ("224.0.0.1", true),
            ("255.255.255.255", true),
            ("ff02::1", true),
            ("127.0.0.1", false),
            ("::1", false),
            ("10.0.0.1", false),
            ("fd00:ec2::255", false),
            ("64:ff9b::808:808", false),
            ("8.8.8.8", false),
            ("2600:1901::1", false),
        ] {
            let ip: IpAddr = ip.parse().expect(ip);
            let judged = Reach::default().judge_instance((ip, 80).into());
            assert_eq!(judged.is_err(), is_never, "{ip}");
        }
    }

    #[test]
    fn what_is_not_a_destination_is_refused() {
        for text in [
            "",
            "http://a",
            "a/b",
            "a:",
            "a:0",
            "a:x",
            "a b",
            "*",
            "*.",
            "u@a",
            "[::1",
            "10.0.0.0/33",
            "a:1:2",
            "*.1.2.3.4",
        ] {
            assert!(text.parse::<Allowed>().is_err(), "{text}");
        }
        for text in ["", "http://", "a b", "file:///x"] {
            assert!(Allowed::infrastructure(text).is_none(), "{text}");
        }
    }
}
