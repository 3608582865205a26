//! The flags about what clients may use.

use std::time::Duration;

use gray_common::{
    descriptors,
    flag::{duration, whole},
    service::{SHORTEST_TIMEOUT, ServiceArgs},
};

use crate::proxy::{self, Limits};

/// Descriptors of a worker that are not connections: listeners, what of them is kept for a successor, the runtime's.
const PER_WORKER: usize = 8;

/// What clients may use at most. Set at the start: they hold for connections, before it is known which route they are for.
#[derive(Clone, Debug, clap::Args)]
pub struct LimitArgs {
    /// Maximum connections of one client address (IPv6: of one /64), except trusted hops; more are answered 429; 0: no
    /// limit
    #[arg(
        long,
        help_heading = "Limits",
        env = "GRAY_MAX_CONNECTIONS_PER_CLIENT",
        value_name = "N",
        default_value_t = 0,
        value_parser = whole::<usize>(0..=u64::MAX)
    )]
    pub max_connections_per_client: usize,

    /// Maximum bytes of a request's target; a longer one is answered 414
    #[arg(
        long,
        help_heading = "Limits",
        env = "GRAY_MAX_URI_BYTES",
        value_name = "BYTES",
        default_value_t = 16 * 1024,
        value_parser = whole::<u32>(256..=1024 * 1024)
    )]
    pub max_uri_bytes: u32,

    /// Maximum bytes of request line and headers; more are answered 431
    #[arg(
        long,
        help_heading = "Limits",
        env = "GRAY_MAX_HEAD_BYTES",
        value_name = "BYTES",
        default_value_t = 64 * 1024,
        value_parser = whole::<u32>(8 * 1024..=1024 * 1024)
    )]
    pub max_head_bytes: u32,

    /// Time from a request's first byte to the end of its headers; then 408
    #[arg(
        long,
        help_heading = "Limits",
        env = "GRAY_HEAD_TIMEOUT",
        value_name = "TIME",
        default_value = "8s",
        value_parser = duration(SHORTEST_TIMEOUT)
    )]
    pub head_timeout: Duration,

    /// Time without a byte of a request's body; then 408
    #[arg(
        long,
        help_heading = "Limits",
        env = "GRAY_BODY_TIMEOUT",
        value_name = "TIME",
        default_value = "10s",
        value_parser = duration(SHORTEST_TIMEOUT)
    )]
    pub body_timeout: Duration,

    /// Time for which a client may read nothing of its answer; then its connection is closed
    #[arg(
        long,
        help_heading = "Limits",
        env = "GRAY_WRITE_TIMEOUT",
        value_name = "TIME",
        default_value = "10s",
        value_parser = duration(SHORTEST_TIMEOUT)
    )]
    pub write_timeout: Duration,

    /// How long a client may pause in a body or an answer if it has averaged at least 16 KiB per second so far; a route
    /// may set its own (metadata.pause-timeout); 0: no longer than other clients
    #[arg(long, help_heading = "Limits", env = "GRAY_PAUSE_TIMEOUT", value_name = "TIME", default_value = "60s",
          value_parser = duration(Duration::ZERO))]
    pub pause_timeout: Duration,

    /// Maximum bytes of buffers that waiting requests hold; above 80 % of it, or of --max-connections, --pause-timeout
    /// does not apply; 0: no limit
    #[arg(
        long,
        help_heading = "Limits",
        env = "GRAY_MAX_BUFFER_BYTES",
        value_name = "BYTES",
        default_value_t = 256 * 1024 * 1024,
        value_parser = whole::<usize>(0..=u64::MAX)
    )]
    pub max_buffer_bytes: usize,

    /// Minimum average rate at which a client sends a body or reads an answer, in bytes per second; 0: none
    #[arg(long, help_heading = "Limits", env = "GRAY_MIN_RATE", value_name = "BYTES", default_value_t = 500,
          value_parser = whole::<u32>(0..=4_294_967_295))]
    pub min_rate: u32,

    /// Time after which a websocket without traffic (pings count) is closed; a route may set its own (`idle-timeout`);
    /// 0: no limit
    #[arg(long, help_heading = "Limits", env = "GRAY_WEBSOCKET_IDLE", value_name = "TIME", default_value = "10m",
          value_parser = duration(Duration::ZERO))]
    pub websocket_idle: Duration,
}

impl LimitArgs {
    /// The limits, with those that every service has.
    pub fn limits(&self, service: &ServiceArgs, workers: usize) -> Limits {
        let both_sides = descriptors::available(PER_WORKER * workers + proxy::MAX_SAID);
        Limits {
            // A request takes two: the client's connection, and one to the instance.
            max_connections: descriptors::fitting(service.max_connections, both_sides.map(|all| all / 2)),
            max_descriptors: both_sides.unwrap_or(0),
            max_connections_per_client: self.max_connections_per_client,
            max_target_bytes: self.max_uri_bytes as usize,
            max_head_bytes: self.max_head_bytes as usize,
            head_timeout: self.head_timeout,
            body_timeout: self.body_timeout,
            write_timeout: self.write_timeout,
            pause_timeout: self.pause_timeout,
            max_buffer_bytes: self.max_buffer_bytes,
            min_rate: self.min_rate,
            idle_timeout: service.idle_timeout,
            tunnel_idle_timeout: Some(self.websocket_idle).filter(|idle| !idle.is_zero()),
            ..Limits::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use crate::{args::GatewayArgs, proxy::Limits};

    #[test]
    fn the_flags_say_what_the_limits_are() {
        let limits = |args: &[&str]| {
            let args = GatewayArgs::try_parse_from([&["gray-gateway"], args].concat());
            args.map(|args| args.limits.limits(&args.service, 2)).map_err(|error| error.to_string())
        };
        // But for the connections, the same defaults in both places.
        let Limits { max_connections, max_descriptors, .. } = limits(&[]).expect("valid");
        assert_eq!(limits(&[]), Ok(Limits { max_connections, max_descriptors, ..Limits::default() }));
        assert_eq!(max_connections, max_descriptors / 2);
        assert_eq!(limits(&["--max-connections", "9"]).map(|limits| limits.max_connections), Ok(9));
        let idle = limits(&["--idle-timeout", "700ms"]).expect("valid").idle_timeout;
        assert_eq!(idle, Duration::from_millis(700));
        let some = limits(&["--max-uri-bytes", "1000", "--websocket-idle", "500ms"]).expect("valid");
        assert_eq!((some.max_target_bytes, some.tunnel_idle_timeout.map(|idle| idle.as_millis())), (1000, Some(500)));
        assert!(limits(&["--head-timeout", "1ms"]).is_err());
    }
}
