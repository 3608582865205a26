//! The gateway's command line. Every flag is an environment variable too.

mod egress;
mod limits;
mod redis;

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use clap::Parser;
use gray_common::{documents::document_name, flag::whole, release, service::ServiceArgs};
use gray_tls::TlsError;

use crate::{
    admin::{Access, AdminToken, Gate, HostName},
    config::SERVICE,
    egress::EgressOptions,
    keys::{Fetcher, ListedServer},
    proxy::{AccessLogFormat, AccessLogOptions},
    tls::{ServerTls, UpstreamTls},
};

pub use self::{
    egress::{EgressAddress, EgressArgs},
    redis::RedisArgs,
};
pub use limits::LimitArgs;

/// The port the Java gateway listens on.
pub const DEFAULT_PORT: u16 = 7000;
/// The port for TLS, when there is a certificate.
pub const DEFAULT_TLS_PORT: u16 = 7443;

/// Decides per request who gets the gray version, dyes the request, and proxies it to an instance that fits.
#[derive(Clone, Debug, Parser)]
#[command(name = "gray-gateway", version = release::version(), after_help = EXAMPLES)]
pub struct GatewayArgs {
    /// Where to listen and what to register.
    #[command(flatten)]
    pub service: ServiceArgs,

    /// Address of the admin side: /livez /readyz /metrics /status /explain /lint /replay
    #[arg(long, help_heading = "Gateway", env = "GRAY_ADMIN_BIND", value_name = "IP", default_value = "127.0.0.1")]
    pub admin_bind: IpAddr,

    /// Port of the admin side; 0 takes a free one
    #[arg(
        long,
        help_heading = "Gateway",
        env = "GRAY_ADMIN_PORT",
        value_name = "PORT",
        default_value_t = 7001,
        global = true
    )]
    pub admin_port: u16,

    /// Clients must send it (`Authorization: Bearer`) to ask the admin side for more than /livez, /readyz and /metrics. At
    /// least 16 characters; better given in the environment
    #[arg(long, help_heading = "Gateway", env = "GRAY_ADMIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub admin_token: Option<AdminToken>,

    /// Let everyone who can reach --admin-bind ask without a token. Without it, an address beyond loopback requires
    /// --admin-token
    #[arg(long, help_heading = "Gateway", env = "GRAY_ADMIN_OPEN")]
    pub admin_open: bool,

    /// Host name under which the admin side answers, besides addresses and localhost; repeated, or separated by commas
    #[arg(long, help_heading = "Gateway", env = "GRAY_ADMIN_HOST", value_name = "NAME", value_delimiter = ',')]
    pub admin_host: Vec<HostName>,

    /// Number of requests whose facts are kept in memory for `grayctl rules replay`; 0 keeps none
    #[arg(
        long,
        help_heading = "Gateway",
        env = "GRAY_REPLAY_BUFFER",
        value_name = "N",
        default_value_t = 10_000,
        value_parser = whole::<u32>(0..=1_000_000)
    )]
    pub replay_buffer: u32,

    /// ip2region city data (scripts/fetch-city-data.sh); without it a city rule knows private addresses (本地) only
    #[arg(long, help_heading = "Gateway", env = "GRAY_CITY_DATA", value_name = "FILE")]
    pub city_data: Option<PathBuf>,

    /// Threads that serve requests, each with its own connections; default one per core
    #[arg(long, help_heading = "Gateway", env = "GRAY_WORKERS", value_name = "N",
          value_parser = whole::<usize>(1..=u64::MAX))]
    pub workers: Option<usize>,

    /// Unix socket for restarts in which no connection is refused: a gateway that starts takes the listening sockets over
    /// from the one that has this path, and that one ends once the new one is ready
    #[arg(long, help_heading = "Gateway", env = "GRAY_HANDOVER", value_name = "PATH")]
    pub handover: Option<PathBuf>,

    /// Data id of a document with routes alone, a JSON or YAML list of route definitions; they are added to those of the
    /// other documents
    #[arg(long, help_heading = "Gateway", env = "GRAY_ROUTES_DOCUMENT", value_name = "DATAID", value_parser = document_name)]
    pub routes_document: Option<String>,

    /// Server, HOST or HOST:PORT, that may be asked for the keys of tokens (jwks-uri, issuer-uri) by http:// and at an address
    /// that is not public; others only by https:// at public addresses. Repeated, or separated by commas
    #[arg(long, help_heading = "Gateway", env = "GRAY_KEY_SERVER", value_name = "SERVER", value_delimiter = ',')]
    pub key_server: Vec<ListedServer>,
    /// With --check-config: warnings count as errors do (exit code 1)
    #[arg(long, help_heading = "Gateway", env = "GRAY_STRICT")]
    pub strict: bool,

    /// For the requests of one service.
    #[command(flatten)]
    pub egress: EgressArgs,

    /// Log of all requests.
    #[command(flatten)]
    pub access_log: AccessLogArgs,

    /// TLS for clients and towards instances.
    #[command(flatten)]
    pub tls: TlsArgs,

    /// What clients may use.
    #[command(flatten)]
    pub limits: LimitArgs,

    /// Where rates are counted.
    #[command(flatten)]
    pub redis: RedisArgs,
}

const EXAMPLES: &str = "\
Examples:
  Routes, rules and instances from Nacos:
    --nacos 127.0.0.1:8848 --namespace spring-cloud-gray-example

  The documents of a Java gateway, shop-gateway.yaml and shop-gateway-prod.yml among them:
    --nacos 127.0.0.1:8848 --name shop-gateway --profile prod --bootstrap bootstrap.yml

  Without a server, instances and settings in directories:
    --registry-dir run/registry --config-dir deploy/nacos

  Beside one service, as the HTTP proxy of its requests:
    --egress 15001 --service order-app --service-version V1 --admin-port 15002 --nacos 127.0.0.1:8848

  A check of the settings (exit code 0 or 1), before they are published; warnings count as well:
    --check-config --strict --config-dir deploy/nacos

  On this machine only, with the admin side on another port:
    --bind 127.0.0.1 --admin-port 17001 --nacos 127.0.0.1:8848

  Whether the running gateway is ready (exit code 0) or not (1); its admin side is asked:
    healthcheck --admin-port 17001

  The version of this program, which is not the one that it registers:
    --version

Signals:
  TERM, INT, QUIT  stop gracefully; a second one skips the waiting
  HUP              read files again: settings, lists of instances, certificates, city data
  USR1             reopen the access log
  USR2             ignored";

impl GatewayArgs {
    /// Who may ask the admin side.
    ///
    /// # Errors
    /// When any client could, without a flag that says so; the text names the flags.
    pub fn admin_gate(&self) -> Result<Gate, String> {
        let access = Access::new(self.admin_token.clone(), self.admin_open, self.admin_bind)?;
        Ok(Gate::new(access, &self.admin_host))
    }
}

impl GatewayArgs {
    /// Name of the program towards the control plane, and of what it keeps on disk.
    pub(crate) fn program(&self) -> Cow<'static, str> {
        match &self.egress.service {
            Some(service) => format!("{service}-egress").into(),
            None => SERVICE.into(),
        }
    }

    /// What makes it an egress that listens and has its admin side at these addresses, if it is one.
    pub(crate) fn egress_options(&self, bound: SocketAddr, admin: Option<SocketAddr>) -> Option<EgressOptions> {
        let service = self.egress.service.as_deref()?;
        let admin_port = admin.map_or(self.admin_port, |admin| admin.port());
        let (version, control) = (&self.service.service_version, &self.service.control);
        Some(self.egress.options(service, version, control, (bound.port(), admin_port)))
    }

    /// Reads the certificate for clients, if there is one, and whose certificates count towards instances.
    ///
    /// # Errors
    /// When a file cannot be read or used.
    pub fn certificates(&self) -> Result<(Option<Arc<ServerTls>>, Arc<UpstreamTls>), TlsError> {
        let server = self.tls.tls_cert.as_deref().zip(self.tls.tls_key.as_deref());
        let server = server.map(|(certificate, key)| ServerTls::load(certificate, key)).transpose()?;
        let upstream = UpstreamTls::new(self.service.upstream_ca.as_deref())?;
        Ok((server.map(Arc::new), Arc::new(upstream)))
    }

    /// What keys of tokens are fetched by.
    pub fn fetcher(&self, tls: &Arc<UpstreamTls>) -> Fetcher {
        Fetcher::new(Arc::clone(tls), &self.key_server)
    }
}

/// The flags about the access log.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct AccessLogArgs {
    /// File to which one line per request is appended, `-` for standard output; opened anew after it was moved or
    /// deleted. Lines hold the query of a request, without the tokens in it, never cookies or Authorization
    #[arg(long, help_heading = "Gateway", env = "GRAY_ACCESS_LOG", value_name = "FILE")]
    pub access_log: Option<PathBuf>,

    /// How lines look: the Common Log Format with more fields behind it, or JSON
    #[arg(
        long,
        help_heading = "Gateway",
        env = "GRAY_ACCESS_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub access_log_format: AccessLogFormat,
}

impl AccessLogArgs {
    /// Where to log, if anywhere.
    pub fn options(&self) -> Option<AccessLogOptions> {
        let path = self.access_log.clone()?;
        Some(AccessLogOptions { path, format: self.access_log_format })
    }
}

/// The flags about TLS. The files are followed: a new certificate needs no restart.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TlsArgs {
    /// Certificate of the gateway with its chain, PEM; opens the TLS port beside the plain one
    #[arg(long, help_heading = "Gateway", env = "GRAY_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// Private key of that certificate, PEM, without a passphrase
    #[arg(long, help_heading = "Gateway", env = "GRAY_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Port for TLS; 0 takes a free one. Without it: 7443
    #[arg(long, help_heading = "Gateway", env = "GRAY_TLS_PORT", value_name = "PORT", requires = "tls_cert")]
    pub tls_port: Option<u16>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_is_sound() {
        GatewayArgs::command().debug_assert();
    }

    #[test]
    fn healthcheck_takes_the_admin_port() {
        let args = GatewayArgs::try_parse_from(["gray-gateway", "healthcheck", "--admin-port", "17001"]);
        assert_eq!(args.expect("valid").admin_port, 17_001);
    }

    #[test]
    fn the_access_log_is_off_or_text_unless_asked_for() {
        let options = |args: &[&str]| {
            let args = GatewayArgs::try_parse_from([&["gray-gateway"], args].concat());
            args.map(|args| args.access_log.options()).map_err(|error| error.to_string())
        };
        let log = |path: &str, format| Ok(Some(AccessLogOptions { path: path.into(), format }));
        assert_eq!(options(&["--access-log-format", "json"]), Ok(None));
        assert_eq!(options(&["--access-log", "-"]), log("-", AccessLogFormat::Text));
        let json = ["--access-log", "a.log", "--access-log-format", "json"];
        assert_eq!(options(&json), log("a.log", AccessLogFormat::Json));
        assert!(options(&["--access-log-format", "xml"]).is_err_and(|error| error.contains("text, json")));
    }

    #[test]
    fn certificate_and_key_come_together() {
        let parse = |args: &[&str]| GatewayArgs::try_parse_from([&["gray-gateway"], args].concat());
        for (args, missing) in [
            (["--tls-cert", "c.pem"], "--tls-key"),
            (["--tls-key", "k.pem"], "--tls-cert"),
            (["--tls-port", "1"], "--tls-cert"),
        ] {
            let error = parse(&args).expect_err(args[0]).to_string();
            assert!(error.contains(missing), "{error}");
        }
        let args = parse(&["--tls-cert", "c.pem", "--tls-key", "k.pem"]).expect("both");
        let error = args.certificates().expect_err("no such file").to_string();
        assert!(error.starts_with("--tls-cert c.pem: cannot be read"), "{error}");
    }
}
