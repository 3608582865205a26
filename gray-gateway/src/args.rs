//! The gateway's command line. Every flag is an environment variable too.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};
use gray_common::service::ServiceArgs;

/// The port the Java gateway listens on.
pub const DEFAULT_PORT: u16 = 7000;
/// Name under which the gateway registers, and of its document (`gateway-app.yaml`).
pub const SERVICE: &str = "gateway-app";

/// Decides per request who gets the gray version, dyes the request, and proxies it to an instance that fits.
#[derive(Clone, Debug, Parser)]
#[command(name = "gray-gateway", disable_version_flag = true, subcommand_negates_reqs = true, after_help = EXAMPLES)]
pub struct GatewayArgs {
    /// What to do instead of serving
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Where to listen and what to register
    #[command(flatten)]
    pub service: ServiceArgs,

    /// Address of the admin side: /livez /readyz /metrics /status
    #[arg(long, env = "GRAY_ADMIN_BIND", value_name = "IP", default_value = "127.0.0.1", global = true)]
    pub admin_bind: IpAddr,

    /// Port of the admin side
    #[arg(long, env = "GRAY_ADMIN_PORT", value_name = "PORT", default_value_t = 7001, global = true)]
    pub admin_port: u16,

    /// ip2region city data (scripts/fetch-city-data.sh); without it a city rule matches private addresses (本地) only
    #[arg(long, env = "GRAY_CITY_DATA", value_name = "FILE")]
    pub city_data: Option<PathBuf>,

    /// Threads that serve requests, each with its own connections; default one per core
    #[arg(long, env = "GRAY_WORKERS", value_name = "N")]
    pub workers: Option<usize>,

    /// How long requests in flight may take after a stop, in seconds
    #[arg(long, env = "GRAY_DRAIN_SECS", value_name = "SECONDS", default_value_t = 30)]
    pub drain_secs: u64,
}

impl GatewayArgs {
    /// How long requests in flight may take after a stop.
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_secs)
    }
}

/// What the program can do besides serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Asks the running gateway whether it is ready; exit code 0 when it is
    Healthcheck,
}

const EXAMPLES: &str = "\
Examples:
  gray-gateway --nacos 127.0.0.1:8848
      routes and rules from gateway-app.yaml and common-config.yaml in the namespace spring-cloud-gray-example
  gray-gateway --registry-dir ./registry --config-dir deploy/nacos
      without Nacos: watched directories
  gray-gateway --nacos 127.0.0.1:8848 --check-config
      reads the documents, lists every problem by name and line, and exits";
