//! The flags of a service.

use std::{net::IpAddr, path::PathBuf, str::FromStr, time::Duration};

use super::{StopLimits, version_flag::VersionFlag};
use gray_core::{
    lane::is_token,
    tag::{SOURCE_KEY, VERSION_KEY},
};

use crate::{
    control::ControlArgs,
    descriptors,
    flag::{duration, whole},
    release,
    server::Limits,
};

/// Flags that every service has; flatten them into your own. Each is an environment variable as well.
#[derive(clap::Args, Clone, Debug)]
#[command(subcommand_negates_reqs = true, disable_version_flag = true, allow_negative_numbers = true, after_help = EXAMPLES)]
#[non_exhaustive]
pub struct ServiceArgs {
    /// Port to listen on; 0 takes a free one. Without it: the service's usual port
    #[arg(long, env = "GRAY_PORT", value_name = "PORT", global = true)]
    pub port: Option<u16>,

    /// Address to listen on
    #[arg(long, env = "GRAY_BIND", value_name = "IP", default_value = "0.0.0.0")]
    pub bind: IpAddr,

    /// Address to register, where callers reach this service. Without it: the one towards the registry
    #[arg(long, env = "GRAY_ADVERTISE", value_name = "HOST[:PORT]")]
    pub advertise: Option<Advertise>,

    /// Version to register: what the gray rules tell apart
    #[arg(long, env = "GRAY_SERVICE_VERSION", value_name = "NAME", default_value = "V1", value_parser = version)]
    pub service_version: String,

    /// More metadata to register; may be repeated, or separated by commas
    #[arg(long, env = "GRAY_METADATA", value_name = "KEY=VALUE", value_delimiter = ',')]
    pub metadata: Vec<MetadataEntry>,

    /// Metadata `gray-tag` to register, for rules that select tagged instances; empty or `false`: none
    #[arg(long, env = "GRAY_TAG", value_name = "VALUE", default_value = "", value_parser = gray_tag)]
    pub gray_tag: GrayTag,

    /// Weight to register; 0 takes the instance out of rotation
    #[arg(long, env = "GRAY_WEIGHT", value_name = "NUMBER", default_value = "1", value_parser = weight)]
    pub weight: f64,

    /// Read the settings documents once, print every problem with its line, and exit: 0 good, 1 not
    #[arg(long, env = "GRAY_CHECK_CONFIG")]
    pub check_config: bool,

    /// When stopped: time between deregistering and no longer accepting, so that callers hear of it
    #[arg(long, env = "GRAY_DRAIN_WAIT", value_name = "TIME", default_value = "3s", value_parser = duration(Duration::ZERO))]
    pub drain_wait: Duration,

    /// When stopped: longest time for requests in flight to finish
    #[arg(long, env = "GRAY_DRAIN", value_name = "TIME", default_value = "30s", value_parser = duration(Duration::ZERO))]
    pub drain: Duration,

    /// Maximum connections of callers; beyond it the longest idle ones are closed, then new ones are answered 503.
    /// By default, with 0, or if it is too large: as many as the limit of open files allows
    #[arg(long, env = "GRAY_MAX_CONNECTIONS", value_name = "N", default_value = "0", hide_default_value = true,
          value_parser = whole::<usize>(0..=u64::MAX))]
    pub max_connections: usize,

    /// Time after which a connection without requests is closed
    #[arg(
        long,
        env = "GRAY_IDLE_TIMEOUT",
        value_name = "TIME",
        default_value = "75s",
        value_parser = duration(SHORTEST_TIMEOUT)
    )]
    pub idle_timeout: Duration,

    /// More CAs to trust when an instance is called over TLS, PEM, beside Mozilla's. Read again when the file changes
    #[arg(long, env = "GRAY_UPSTREAM_CA", value_name = "FILE")]
    pub upstream_ca: Option<PathBuf>,

    /// What to log: a level, or levels by module (info,gray_common=debug). RUST_LOG counts when this is not given
    #[arg(long, env = "GRAY_LOG", value_name = "FILTER")]
    pub log: Option<String>,

    #[command(flatten)]
    version: VersionFlag,

    // Last, because its help heading would count for whatever follows.
    /// Where instances and settings live.
    #[command(flatten)]
    pub control: ControlArgs,

    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<ServiceCommand>,
}

/// Less than this is a mistake: no client could keep to it.
pub const SHORTEST_TIMEOUT: Duration = Duration::from_millis(200);

const EXAMPLES: &str = "\
Examples:
  Register as version V2, in Nacos:
    --port 7202 --service-version V2 --nacos 127.0.0.1:8848 --namespace spring-cloud-gray-example

  Without a server, instances and settings in directories:
    --port 7201 --registry-dir run/registry --config-dir deploy/nacos

  Behind a published container port:
    --advertise 192.0.2.10:17201 --nacos nacos:8848

  The same by environment, and a check of the settings:
    GRAY_NACOS=127.0.0.1:8848 GRAY_SERVICE_VERSION=V2 <program> --check-config

  Whether the running service is ready (exit code 0) or not (1):
    healthcheck --port 7202

  The version of this program, which is not the one that it registers:
    --version

Signals:
  TERM, INT, QUIT  stop gracefully; a second one skips the waiting
  HUP              read files again: settings, lists of instances, certificates, city data
  USR1             reopen the access log (the gateway)
  USR2             ignored";

/// The whole command line of a service without flags of its own.
#[derive(clap::Parser, Clone, Debug)]
#[command(
    version = release::version(),
    about = "A service of a chain with gray releases",
    long_about = None
)]
pub struct ServiceCli {
    /// The flags.
    #[command(flatten)]
    pub service: ServiceArgs,
}

/// What a service program can do besides serving.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum ServiceCommand {
    /// Ask the service on this machine whether it is ready: exit code 0 yes, 1 no. Needs no curl in an image
    Healthcheck,
}

/// `HOST` or `HOST:PORT`, IPv6 in brackets when a port follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertise {
    /// IP address or DNS name.
    pub host: String,
    /// Port, if it differs from the one listened on.
    pub port: Option<u16>,
}

impl FromStr for Advertise {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = |text: &str| text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let (host, port) = match (bare(text), text.rsplit_once(':')) {
            (Ok(ip), _) => (ip.to_string(), None),
            (Err(_), Some((host, port))) => {
                let port = port.parse().ok().filter(|port| *port != 0);
                let port = port.ok_or_else(|| "the port is not a number from 1 to 65535".to_owned())?;
                (bare(host).map_or_else(|_| host.to_owned(), |ip| ip.to_string()), Some(port))
            }
            (Err(_), None) => (text.to_owned(), None),
        };
        if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
            return Err("callers cannot reach the unspecified address; give the one they can reach".to_owned());
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if host.is_empty() || (host.parse::<IpAddr>().is_err() && !host.chars().all(is_name)) {
            return Err("expected an IP address or a host name, optionally with :PORT".to_owned());
        }
        Ok(Self { host, port })
    }
}

/// One `key=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataEntry {
    /// Before the first `=`.
    pub key: String,
    /// After it.
    pub value: String,
}

impl FromStr for MetadataEntry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (key, value) = text.split_once('=').ok_or_else(|| "expected KEY=VALUE".to_owned())?;
        match key {
            "" => Err("the key before `=` is empty".to_owned()),
            VERSION_KEY => {
                Err("the version has a flag of its own: --service-version (GRAY_SERVICE_VERSION)".to_owned())
            }
            SOURCE_KEY => Err("this key says which program registered the instance and cannot be set".to_owned()),
            _ => Ok(Self { key: key.to_owned(), value: value.to_owned() }),
        }
    }
}

/// The value of [`TAG_KEY`](gray_core::tag::TAG_KEY), if there is to be one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrayTag(pub Option<String>);

fn gray_tag(text: &str) -> Result<GrayTag, String> {
    match text.trim() {
        "" | "false" => Ok(GrayTag(None)),
        tag if is_token(tag) => Ok(GrayTag(Some(tag.to_owned()))),
        _ => Err("no rule could select it: expected at most 64 ASCII letters, digits and . _ - +".to_owned()),
    }
}

fn version(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("the version is empty; rules need one, such as V1".to_owned()),
        version if is_token(version) => Ok(version.to_owned()),
        _ => {
            Err("no rule could select this version: expected at most 64 ASCII letters, digits and . _ - +, such as V2"
                .to_owned())
        }
    }
}

fn weight(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(weight) if weight.is_finite() && (0.0..=10_000.0).contains(&weight) => Ok(weight),
        _ => Err("expected a number from 0 to 10000".to_owned()),
    }
}

impl ServiceArgs {
    /// The log filter: `--log`, else `RUST_LOG`, else `info`.
    pub fn log_filter(&self) -> String {
        let from_environment = || std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
        self.log.clone().or_else(from_environment).unwrap_or_else(|| "info".to_owned())
    }

    /// How long a stop may take.
    pub fn stop_limits(&self) -> StopLimits {
        StopLimits { drain_wait: self.drain_wait, drain: self.drain }
    }

    /// What callers may use of a service.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            idle_timeout: self.idle_timeout,
            // A request takes two: the caller's connection, and one of its own to the next service.
            max_connections: descriptors::fitting(self.max_connections, descriptors::available(0).map(|all| all / 2)),
            ..Limits::default()
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use gray_core::tag::TAG_KEY;

    #[derive(Parser, Debug)]
    pub(in crate::service) struct Cli {
        #[command(flatten)]
        pub(in crate::service) service: ServiceArgs,
    }

    fn parse(args: &[&str]) -> Result<ServiceArgs, String> {
        let args = std::iter::once("service").chain(args.iter().copied());
        Cli::try_parse_from(args).map(|cli| cli.service).map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults() {
        let args = parse(&[]).expect("valid");
        assert_eq!((args.service_version.as_str(), args.port, args.weight), ("V1", None, 1.0));
        assert_eq!(args.bind.to_string(), "0.0.0.0");
        assert_eq!((args.drain_wait, args.drain), (Duration::from_secs(3), Duration::from_secs(30)));
    }

    #[test]
    fn a_gray_tag_is_metadata() {
        for (line, tag) in [
            (&[][..], None),
            (&["--gray-tag", "true"], Some("true")),
            (&["--gray-tag", " pink "], Some("pink")),
            (&["--gray-tag", "false"], None),
            (&["--gray-tag="], None),
            (&["--metadata", "gray-tag=a", "--gray-tag", "b"], Some("b")),
            (&["--metadata", "gray-tag=a"], Some("a")),
        ] {
            assert_eq!(parse(line).expect("valid").instance(1).label(TAG_KEY), tag, "{line:?}");
        }
    }

    #[test]
    fn healthcheck_takes_the_port_on_either_side() {
        for args in [["healthcheck", "--port", "7201"], ["--port", "7201", "healthcheck"]] {
            let args = parse(&args).expect("valid");
            assert_eq!(args.port, Some(7201));
            assert!(matches!(args.command, Some(ServiceCommand::Healthcheck)));
        }
    }

    #[test]
    fn bad_values_say_what_is_expected() {
        for (args, expect) in [
            (["--service-version", ""], "the version is empty"),
            (["--service-version", "  "], "the version is empty"),
            (["--service-version", "V 2"], "no rule could select this version"),
            (["--service-version", "版本"], "no rule could select this version"),
            (["--service-version", &"v".repeat(65)], "at most 64 ASCII letters"),
            (["--service-version", "V2;x"], "no rule could select this version"),
            (["--port", "70000"], "70000"),
            (["--weight", "-1"], "expected a number"),
            (["--weight", "NaN"], "expected a number from 0 to 10000"),
            (["--metadata", "zone"], "expected KEY=VALUE"),
            (["--metadata", "version=V2"], "--service-version (GRAY_SERVICE_VERSION)"),
            (["--gray-tag", "a b"], "no rule could select it"),
            (["--advertise", "0.0.0.0"], "unspecified"),
            (["--advertise", "http://x"], "port is not a number"),
            (["--advertise", "a b"], "expected an IP address"),
            (["--advertise", "host:0"], "1 to 65535"),
        ] {
            let error = parse(&[&format!("{}={}", args[0], args[1])]).expect_err(args[1]);
            assert!(error.contains(expect), "{args:?}: {error}");
        }
    }

    #[test]
    fn advertised_addresses() {
        for (text, host, port) in [
            ("10.0.0.7", "10.0.0.7", None),
            ("10.0.0.7:80", "10.0.0.7", Some(80)),
            ("user-app", "user-app", None),
            ("user-app:7200", "user-app", Some(7200)),
            ("fd00::7", "fd00::7", None),
            ("[fd00::7]:80", "fd00::7", Some(80)),
        ] {
            assert_eq!(text.parse(), Ok(Advertise { host: host.into(), port }), "{text}");
        }
    }

    #[test]
    fn metadata_may_be_repeated_and_separated() {
        let args = parse(&["--metadata", "zone=a,rack=1", "--metadata", "note=x=y"]).expect("valid");
        let entries: Vec<_> = args.metadata.iter().map(|m| (m.key.as_str(), m.value.as_str())).collect();
        assert_eq!(entries, [("zone", "a"), ("rack", "1"), ("note", "x=y")]);
    }
}
