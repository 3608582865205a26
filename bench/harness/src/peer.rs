//! The proxies that are compared.

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

use crate::{documents::Size, load::find};

/// A proxy, or a chain of services behind one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Peer {
    /// nginx
    Nginx,
    /// HAProxy, looking at every request
    HaproxyHttp,
    /// HAProxy, passing bytes on: the limit
    HaproxyTcp,
    /// pingora
    Pingora,
    /// axum with hyper-util's client
    Axum,
    /// Spring Cloud Gateway
    Jvm,
    /// gray-gateway, gray release off
    GatewayOff,
    /// gray-gateway with 100 rules of which none matches
    GatewayRules,
    /// The same with an access log, and metrics read every second
    GatewayFull,
    /// gray-gateway, order-app, user-app
    #[value(skip)]
    Chain,
    /// gray-gateway, and the two services without gray-common
    #[value(skip)]
    PlainChain,
    #[value(skip)]
    Instances10,
    #[value(skip)]
    Instances10k,
    #[value(skip)]
    Routes10,
    #[value(skip)]
    Routes10k,
    #[value(skip)]
    Rules1,
    #[value(skip)]
    Rules100,
    #[value(skip)]
    Rules1k,
}

/// The one that the targets are about.
pub(crate) const REFERENCE: Peer = Peer::GatewayRules;
/// The gateway in pairs, small and grown.
pub(crate) const GROWTH: [Peer; 7] = [
    Peer::Instances10,
    Peer::Instances10k,
    Peer::Routes10,
    Peer::Routes10k,
    Peer::Rules1,
    Peer::Rules100,
    Peer::Rules1k,
];
/// The flag of the gateway that writes an access log; looked for in its `--help`.
pub(crate) const ACCESS_LOG_FLAG: &str = "--access-log";
/// What bench/jvm builds.
pub(crate) const JAR: &str = "jvm/target/bench-jvm.jar";

/// Whether a proxy takes HTTP/2 without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http2 {
    /// It must; anything else is a failure.
    Yes,
    /// It does not, and is left out.
    No(&'static str),
    /// It is asked, and left out if it does not.
    Ask,
}

impl Peer {
    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::HaproxyHttp => "haproxy-http",
            Self::HaproxyTcp => "haproxy-tcp",
            Self::Pingora => "pingora",
            Self::Axum => "axum",
            Self::Jvm => "jvm",
            Self::GatewayOff => "gateway-off",
            Self::GatewayRules => "gateway-rules",
            Self::GatewayFull => "gateway-full",
            Self::Chain => "chain",
            Self::PlainChain => "plain-chain",
            Self::Instances10 => "instances-10",
            Self::Instances10k => "instances-10k",
            Self::Routes10 => "routes-10",
            Self::Routes10k => "routes-10k",
            Self::Rules1 => "rules-1",
            Self::Rules100 => "rules-100",
            Self::Rules1k => "rules-1k",
        }
    }

    /// In words.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::HaproxyHttp => "HAProxy, mode http",
            Self::HaproxyTcp => "HAProxy, mode tcp",
            Self::Pingora => "pingora",
            Self::Axum => "axum + hyper-util client",
            Self::Jvm => "Spring Cloud Gateway",
            Self::GatewayOff => "gateway, rules off",
            Self::GatewayRules => "gateway, 100 rules",
            Self::GatewayFull => "gateway, 100 rules, access log, metrics",
            Self::Chain => "gateway + order-app + user-app",
            Self::PlainChain => "gateway + the same without gray-common",
            Self::Instances10 => "10 instances",
            Self::Instances10k => "10,000 instances",
            Self::Routes10 => "10 routes",
            Self::Routes10k => "10,000 routes",
            Self::Rules1 => "1 rule, which matches",
            Self::Rules100 => "100 rules, the 100th matches",
            Self::Rules1k => "1,000 rules, the 100th matches",
        }
    }

    /// Whose figures are divided by this one's in the tables: of the proxies the gateway's, of the plain chain the
    /// real one's, of what is small the grown one's.
    pub(crate) fn compared(self) -> Option<Self> {
        match self {
            Self::Nginx | Self::HaproxyHttp | Self::HaproxyTcp | Self::Pingora | Self::Axum => Some(REFERENCE),
            Self::Jvm | Self::GatewayOff | Self::GatewayFull => Some(REFERENCE),
            Self::PlainChain => Some(Self::Chain),
            Self::Instances10 => Some(Self::Instances10k),
            Self::Routes10 => Some(Self::Routes10k),
            Self::Rules1 | Self::Rules100 => Some(Self::Rules1k),
            Self::GatewayRules | Self::Chain | Self::Instances10k | Self::Routes10k | Self::Rules1k => None,
        }
    }

    /// How much the gateway holds; `None` when it is not the gateway in front of the backend.
    pub(crate) fn size(self) -> Option<Size> {
        let few = Size { instances: 1, routes: 1, rules: 0, matching: None };
        Some(match self {
            Self::GatewayOff => few,
            Self::GatewayRules | Self::GatewayFull => Size { rules: 100, ..few },
            Self::Instances10 => Size { instances: 10, ..few },
            Self::Instances10k => Size { instances: 10_000, ..few },
            Self::Routes10 => Size { routes: 10, ..few },
            Self::Routes10k => Size { routes: 10_000, ..few },
            Self::Rules1 => Size { rules: 1, matching: Some(0), ..few },
            Self::Rules100 => Size { rules: 100, matching: Some(99), ..few },
            Self::Rules1k => Size { rules: 1000, matching: Some(99), ..few },
            _ => return None,
        })
    }

    /// Whether it sets the headers of a proxy, which a preflight then looks for.
    pub(crate) fn knows_http(self) -> bool {
        self != Self::HaproxyTcp
    }

    /// Whether it takes part in the load over HTTP/2.
    pub(crate) fn http2(self) -> Http2 {
        match self {
            Self::Nginx | Self::HaproxyHttp | Self::Pingora | Self::Axum => Http2::Yes,
            Self::HaproxyTcp => Http2::No("it passes bytes on, and the backend speaks HTTP/1.1"),
            Self::Jvm => Http2::No("not set up for HTTP/2 without TLS"),
            _ => Http2::Ask,
        }
    }

    /// What is missing to start it.
    pub(crate) fn missing(self, programs: &Path, bench: &Path) -> Result<Option<String>> {
        let on_path = |name: &str| find(name).is_none().then(|| format!("{name} is not installed"));
        Ok(match self {
            Self::Nginx => on_path("nginx"),
            Self::HaproxyHttp | Self::HaproxyTcp => on_path("haproxy"),
            Self::Jvm => on_path("java").or_else(|| {
                let jar = bench.join(JAR);
                (!jar.is_file()).then(|| "bench/jvm is not built (mvn package)".to_owned())
            }),
            Self::GatewayFull if !has_access_log(programs)? => Some(format!("the gateway has no {ACCESS_LOG_FLAG}")),
            _ => None,
        })
    }
}

fn has_access_log(programs: &Path) -> Result<bool> {
    let help = std::process::Command::new(programs.join("gray-gateway")).arg("--help").output()?;
    Ok(String::from_utf8_lossy(&help.stdout).contains(ACCESS_LOG_FLAG))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compared_with_something_is_not_what_others_are_compared_with() {
        for peer in GROWTH.into_iter().chain([Peer::PlainChain, Peer::Nginx]) {
            assert!(peer.compared().is_none_or(|other| other.compared().is_none()), "{peer:?}");
        }
    }

    #[test]
    fn only_proxies_can_be_named() {
        assert!(Peer::value_variants().iter().all(|peer| !GROWTH.contains(peer) && *peer != Peer::Chain));
    }
}
