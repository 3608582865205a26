//! The gateway's command line. Every flag is an environment variable too.

use std::{net::IpAddr, path::PathBuf};

use clap::Parser;
use gray_common::service::ServiceArgs;

/// The port the Java gateway listens on.
pub const DEFAULT_PORT: u16 = 7000;
/// Name under which the gateway registers, and of its document (`gateway-app.yaml`).
pub const SERVICE: &str = "gateway-app";

/// Decides per request who gets the gray version, dyes the request, and proxies it to an instance that fits.
#[derive(Clone, Debug, Parser)]
#[command(name = "gray-gateway", disable_version_flag = true)]
pub struct GatewayArgs {
    /// Where to listen and what to register.
    #[command(flatten)]
    pub service: ServiceArgs,

    /// Address of the admin side: /livez /readyz /metrics /status
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

    /// ip2region city data (scripts/fetch-city-data.sh); without it a city rule knows private addresses (本地) only
    #[arg(long, help_heading = "Gateway", env = "GRAY_CITY_DATA", value_name = "FILE")]
    pub city_data: Option<PathBuf>,

    /// Threads that serve requests, each with its own connections; default one per core
    #[arg(long, help_heading = "Gateway", env = "GRAY_WORKERS", value_name = "N")]
    pub workers: Option<std::num::NonZeroUsize>,
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
}
