//! The proxies that are compared, and what is expected of the gateway beside each.

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

use crate::{args::cores, load::find};

/// A proxy.
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
    /// gray-gateway with 100 rules of which none matches, and its metrics read
    GatewayRules,
    /// The same with an access log, once there is one
    GatewayAccessLog,
    /// gray-gateway, order-app, user-app
    #[value(skip)]
    Chain,
}

/// The one that the targets are about.
pub(crate) const REFERENCE: Peer = Peer::GatewayRules;
/// The flag of the gateway that would write an access log; looked for in its `--help`.
pub(crate) const ACCESS_LOG_FLAG: &str = "--access-log";

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
            Self::GatewayAccessLog => "gateway-access-log",
            Self::Chain => "chain",
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
            Self::GatewayAccessLog => "gateway, 100 rules, access log",
            Self::Chain => "gateway + order-app + user-app",
        }
    }

    /// The most CPU per request that [`REFERENCE`] is to need, as a multiple of this one's. They are about small
    /// requests on kept connections.
    pub(crate) fn target(self) -> Option<f64> {
        match self {
            Self::Nginx => Some(0.95),
            Self::HaproxyHttp => Some(0.90),
            Self::HaproxyTcp => Some(1.25),
            Self::Pingora => Some(0.50),
            _ => None,
        }
    }

    /// Whether it sets the headers of a proxy, which a preflight then looks for.
    pub(crate) fn knows_http(self) -> bool {
        self != Self::HaproxyTcp
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
            Self::GatewayAccessLog if !has_access_log(programs)? => {
                Some(format!("the gateway has no {ACCESS_LOG_FLAG} yet"))
            }
            Self::Pingora | Self::Axum | Self::GatewayOff | Self::GatewayRules | Self::GatewayAccessLog => None,
            Self::Chain => None,
        })
    }
}

/// What bench/jvm builds.
pub(crate) const JAR: &str = "jvm/target/bench-jvm.jar";

fn has_access_log(programs: &Path) -> Result<bool> {
    let help = std::process::Command::new(programs.join("gray-gateway")).arg("--help").output()?;
    Ok(String::from_utf8_lossy(&help.stdout).contains(ACCESS_LOG_FLAG))
}

/// The versions of what takes part, by name.
///
/// The gateway's is the commit, when it was built here; programs that were given may be of any.
pub(crate) fn versions(bench: &Path, built_here: bool) -> Vec<(String, String)> {
    let first_line = |program: &str, arg: &str| {
        let output = std::process::Command::new(find(program)?).arg(arg).output().ok()?;
        let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
        // The first word with a number in it: `nginx version: nginx/1.22.1`, `HAProxy version 2.6.12-1 2026/...`.
        let text = String::from_utf8_lossy(&text).into_owned();
        let word = text.split_whitespace().find(|word| word.contains(|letter: char| letter.is_ascii_digit()))?;
        Some(word.rsplit('/').next().unwrap_or(word).to_owned())
    };
    let locked = |name: &str| {
        let text = std::fs::read_to_string(bench.join("Cargo.lock")).ok()?;
        let (_, rest) = text.split_once(&format!("name = \"{name}\"\nversion = \""))?;
        Some(rest.split('"').next()?.to_owned())
    };
    let commit = || {
        if !built_here {
            return Some("as given by --programs".to_owned());
        }
        let args = ["describe", "--always", "--dirty"];
        let output = std::process::Command::new("git").args(args).current_dir(bench).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    let kernel = || Some(std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?.trim().to_owned());
    let all = [
        ("nginx", first_line("nginx", "-v")),
        ("haproxy", first_line("haproxy", "-v")),
        ("pingora", locked("pingora")),
        ("axum", locked("axum")),
        ("hyper-util", locked("hyper-util")),
        ("gray-chain", commit()),
        ("linux", kernel()),
        ("cores", Some(cores().to_string())),
    ];
    all.into_iter().filter_map(|(name, version)| Some((name.to_owned(), version?))).collect()
}
