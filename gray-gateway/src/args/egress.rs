//! The flags of an egress.

use std::{
    net::{Ipv4Addr, SocketAddr},
    str::FromStr,
    sync::Arc,
};

use gray_common::control::ControlArgs;
use gray_core::lane::is_token;

use crate::egress::{Allowed, Direct, EgressOptions, Reach};

/// Where other programs of a machine say who collects their traces, and where Eureka is.
const ENVIRONMENT: [&str; 6] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
    "EUREKA_CLIENT_SERVICEURL_DEFAULTZONE",
    "EUREKA_CLIENT_SERVICE_URL_DEFAULT_ZONE",
];

/// The flags of a gateway that stands beside one service, for the requests that it sends.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct EgressArgs {
    /// Serve the requests that one service sends, as its HTTP proxy, instead of those of clients: PORT on this machine, or IP:PORT.
    /// Registers nowhere
    #[arg(long, help_heading = "Egress", env = "GRAY_EGRESS", value_name = "ADDR", requires = "service")]
    pub egress: Option<EgressAddress>,

    /// Name of the service whose requests these are; --service-version is its version
    #[arg(id = "service", long = "service", help_heading = "Egress", env = "GRAY_SERVICE", value_name = "NAME",
          requires = "egress", value_parser = service_name)]
    pub service: Option<String>,

    /// Listen beyond this machine: every client that reaches the address sends requests in the name of the service
    #[arg(long, help_heading = "Egress", env = "GRAY_EGRESS_OPEN", requires = "egress")]
    pub egress_open: bool,

    /// Where requests may go besides the registry: HOST, *.DOMAIN, an address or a network, each with :PORT (else 80 and 443) or :*. A name
    /// must have a public address, or one that is allowed itself. Repeated, or separated by commas
    #[arg(
        long,
        help_heading = "Egress",
        env = "GRAY_EGRESS_ALLOW",
        value_name = "DEST",
        requires = "egress",
        value_delimiter = ','
    )]
    pub egress_allow: Vec<Allowed>,

    /// Paths that go exactly to the instance that they are sent to, besides /actuator/**: /path or /path/**. Repeated, or
    /// separated by commas
    #[arg(
        long,
        help_heading = "Egress",
        env = "GRAY_EGRESS_DIRECT",
        value_name = "PATH",
        requires = "egress",
        value_delimiter = ','
    )]
    pub egress_direct: Vec<Direct>,
}

/// Where an egress listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EgressAddress(pub SocketAddr);

impl FromStr for EgressAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = || text.parse().ok().map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let address = text.parse().ok().or_else(port);
        address.map(Self).ok_or_else(|| "expected PORT or IP:PORT, such as 127.0.0.1:15001".to_owned())
    }
}

fn service_name(text: &str) -> Result<String, String> {
    match text.trim() {
        name if is_token(name) => Ok(name.to_owned()),
        _ => {
            Err("expected the name under which the service registers: at most 64 letters, digits and . _ - +"
                .to_owned())
        }
    }
}

impl EgressArgs {
    /// Where to listen and whose requests these are, if it is an egress.
    ///
    /// # Errors
    /// When it would listen beyond this machine without a flag that says so.
    pub fn listen(&self) -> Result<Option<(SocketAddr, &str)>, String> {
        let Some((EgressAddress(address), service)) = self.egress.zip(self.service.as_deref()) else { return Ok(None) };
        if !address.ip().to_canonical().is_loopback() && !self.egress_open {
            return Err(format!(
                "--egress {address} can be reached from other machines, which would send requests in the name of {service}: listen \
                 on 127.0.0.1, or say --egress-open"
            ));
        }
        Ok(Some((address, service)))
    }

    /// What makes it an egress: beside this service, of this version, with the servers that its own flags name, and these ports.
    pub(crate) fn options(
        &self,
        service: &str,
        version: &str,
        control: &ControlArgs,
        (port, admin_port): (u16, u16),
    ) -> EgressOptions {
        let flags = [&control.nacos, &control.eureka].into_iter().flatten().cloned();
        let environment = ENVIRONMENT.iter().filter_map(|name| std::env::var(name).ok());
        let servers: Vec<String> = flags.chain(environment).collect();
        let infrastructure = servers.iter().flat_map(|list| list.split(',')).filter_map(Allowed::infrastructure);
        let allowed = infrastructure.chain(self.egress_allow.iter().cloned());
        EgressOptions {
            service: service.into(),
            version: version.into(),
            direct: [Direct::management()].into_iter().chain(self.egress_direct.iter().cloned()).collect(),
            reach: Arc::new(Reach::new(allowed, port, admin_port)),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::{args::GatewayArgs, egress::Host};

    #[test]
    fn the_servers_of_its_own_flags_are_allowed() {
        let line = "gray-gateway --egress 15001 --service order-app --nacos nacos-1:8848,10.0.0.8:8848 \
                    --eureka http://shop:secret@eureka:8761/eureka/,https://10.0.0.9/eureka/,a=https://10.0.0.10/ --egress-allow api.example.com";
        let args = GatewayArgs::try_parse_from(line.split_whitespace()).expect("valid");
        let options = args.egress_options("127.0.0.1:15001".parse().expect("an address"), None).expect("an egress");
        for (host, port, is_allowed) in [
            ("nacos-1", 8848, true),
            ("10.0.0.8", 8848, true),
            ("10.0.0.8", 9848, false),
            ("eureka", 8761, true),
            ("eureka", 80, false),
            ("10.0.0.9", 443, true),
            ("10.0.0.10", 443, true),
            ("shop", 8761, false),
            ("api.example.com", 443, true),
        ] {
            assert_eq!(options.reach.judge_host(&Host::of(host), port).is_ok(), is_allowed, "{host}:{port}");
        }
        // The operator's own servers may have any address, what is listed only a public one.
        let at = |name, address: &str| options.reach.judge_outside(Some(name), address.parse().expect("an address"));
        assert!(at("eureka", "10.0.0.1:8761").is_ok() && at("api.example.com", "10.0.0.1:443").is_err());
    }

    #[test]
    fn an_egress_listens_on_this_machine_unless_told_otherwise() {
        let listen = |args: &str| {
            let args = GatewayArgs::try_parse_from(["gray-gateway"].into_iter().chain(args.split(' ')));
            let args = args.map_err(|error| error.to_string())?;
            let listen = args.egress.listen()?;
            Ok::<_, String>(listen.map(|(address, service)| format!("{address} {service}")))
        };
        let good = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(listen("--port 1"), Ok(None));
        assert_eq!(listen("--egress 15001 --service order-app"), good("127.0.0.1:15001 order-app"));
        assert_eq!(listen("--egress [::1]:1 --service order-app"), good("[::1]:1 order-app"));
        assert_eq!(listen("--egress 0.0.0.0:1 --service order-app --egress-open"), good("0.0.0.0:1 order-app"));
        for (args, says) in [
            ("--egress 0.0.0.0:15001 --service order-app", "--egress-open"),
            ("--egress 15001", "--service"),
            ("--service order-app", "--egress"),
            ("--egress-allow a", "--egress"),
            ("--egress x --service order-app", "IP:PORT"),
            ("--egress 1 --service a/b", "registers"),
            ("--egress 1 --service a --egress-allow http://a", "not a destination"),
            ("--egress 1 --service a --egress-direct x", "not a path"),
        ] {
            let error = listen(args).expect_err(args);
            assert!(error.contains(says), "{args}: {error}");
        }
    }
}
