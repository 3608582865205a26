//! The flags about what clients may use.

use std::time::Duration;

use crate::proxy::Limits;

/// What clients may use at most. Set at the start: they hold for connections, before it is known which route they are for.
#[derive(Clone, Debug, clap::Args)]
pub struct LimitArgs {
    /// Client connections at most; beyond it the longest idle ones are closed, then new ones are answered 503. Without
    /// it: four fifths of the open files that the system allows; 0: no limit
    #[arg(long, help_heading = "Limits", env = "GRAY_MAX_CONNECTIONS", value_name = "N")]
    pub max_connections: Option<usize>,

    /// Connections of one client address at most (IPv6: of one /64), but for trusted hops; more are answered 429; 0: no
    /// limit
    #[arg(
        long,
        help_heading = "Limits",
        env = "GRAY_MAX_CONNECTIONS_PER_CLIENT",
        value_name = "N",
        default_value_t = 0
    )]
    pub max_connections_per_client: usize,

    /// Bytes of a request's target at most; more is answered 414
    #[arg(
        long,
        help_heading = "Limits",
        env = "GRAY_MAX_URI_BYTES",
        value_name = "BYTES",
        default_value_t = 16 * 1024,
        value_parser = clap::value_parser!(u32).range(256..=1024 * 1024)
    )]
    pub max_uri_bytes: u32,

    /// Bytes of request line and headers at most; more is answered 431
    #[arg(
        long,
        help_heading = "Limits",
        env = "GRAY_MAX_HEAD_BYTES",
        value_name = "BYTES",
        default_value_t = 64 * 1024,
        value_parser = clap::value_parser!(u32).range(8 * 1024..=1024 * 1024)
    )]
    pub max_head_bytes: u32,

    /// Milliseconds from a request's first byte to the end of its headers; then 408
    #[arg(
        long,
        help_heading = "Limits",
        env = "GRAY_HEAD_TIMEOUT_MS",
        value_name = "MS",
        default_value_t = 8_000,
        value_parser = clap::value_parser!(u64).range(200..)
    )]
    pub head_timeout_ms: u64,

    /// Milliseconds without a byte of a request's body; then 408
    #[arg(
        long,
        help_heading = "Limits",
        env = "GRAY_BODY_TIMEOUT_MS",
        value_name = "MS",
        default_value_t = 10_000,
        value_parser = clap::value_parser!(u64).range(200..)
    )]
    pub body_timeout_ms: u64,

    /// Milliseconds in which a client takes nothing of its answer; then it is cut off
    #[arg(
        long,
        help_heading = "Limits",
        env = "GRAY_WRITE_TIMEOUT_MS",
        value_name = "MS",
        default_value_t = 10_000,
        value_parser = clap::value_parser!(u64).range(200..)
    )]
    pub write_timeout_ms: u64,

    /// Milliseconds that a client may pause in a body or an answer of which it has sent or taken at least 16 KiB per second
    /// until then, unless the route says otherwise (metadata.pause-timeout); 0: no longer than others
    #[arg(long, help_heading = "Limits", env = "GRAY_PAUSE_TIMEOUT_MS", value_name = "MS", default_value_t = 60_000)]
    pub pause_timeout_ms: u64,

    /// Bytes of buffers that requests may hold while they wait; above 80 % of it, or of --max-connections, nobody may pause
    /// for longer than others; 0: no limit
    #[arg(
        long,
        help_heading = "Limits",
        env = "GRAY_MAX_BUFFER_BYTES",
        value_name = "BYTES",
        default_value_t = 256 * 1024 * 1024
    )]
    pub max_buffer_bytes: usize,

    /// Bytes per second that a client has to send of a body, or take of an answer, on average; 0: none
    #[arg(long, help_heading = "Limits", env = "GRAY_MIN_RATE", value_name = "BYTES", default_value_t = 500)]
    pub min_rate: u32,

    /// Milliseconds between two requests of a connection; then it is closed
    #[arg(
        long,
        help_heading = "Limits",
        env = "GRAY_IDLE_TIMEOUT_MS",
        value_name = "MS",
        default_value_t = 75_000,
        value_parser = clap::value_parser!(u64).range(200..)
    )]
    pub idle_timeout_ms: u64,

    /// Milliseconds without a byte in either direction of a websocket; then it is closed; 0: no limit
    #[arg(long, help_heading = "Limits", env = "GRAY_WEBSOCKET_IDLE_MS", value_name = "MS", default_value_t = 0)]
    pub websocket_idle_ms: u64,
}

impl LimitArgs {
    /// The limits.
    pub fn limits(&self) -> Limits {
        Limits {
            max_connections: self.max_connections.unwrap_or_else(sensible),
            max_connections_per_client: self.max_connections_per_client,
            max_target_bytes: self.max_uri_bytes as usize,
            max_head_bytes: self.max_head_bytes as usize,
            head_timeout: Duration::from_millis(self.head_timeout_ms),
            body_timeout: Duration::from_millis(self.body_timeout_ms),
            write_timeout: Duration::from_millis(self.write_timeout_ms),
            pause_timeout: Duration::from_millis(self.pause_timeout_ms),
            max_buffer_bytes: self.max_buffer_bytes,
            min_rate: self.min_rate,
            idle_timeout: Duration::from_millis(self.idle_timeout_ms),
            tunnel_idle_timeout: (self.websocket_idle_ms > 0).then(|| Duration::from_millis(self.websocket_idle_ms)),
            ..Limits::default()
        }
    }
}

/// What leaves descriptors for connections to instances, logs and the rest.
fn sensible() -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    files.map_or(0, |files| usize::try_from(files / 5 * 4).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::{args::GatewayArgs, proxy::Limits};

    #[test]
    fn the_flags_say_what_the_limits_are() {
        let limits = |args: &[&str]| {
            let args = GatewayArgs::try_parse_from([&["gray-gateway"], args].concat());
            args.map(|args| args.limits.limits()).map_err(|error| error.to_string())
        };
        // But for the connections, the same defaults in both places.
        assert_eq!(limits(&["--max-connections", "0"]), Ok(Limits::default()));
        assert!(limits(&[]).is_ok_and(|limits| limits.max_connections > 100));
        let some = limits(&["--max-uri-bytes", "1000", "--websocket-idle-ms", "500"]).expect("valid");
        assert_eq!((some.max_target_bytes, some.tunnel_idle_timeout.map(|idle| idle.as_millis())), (1000, Some(500)));
        assert!(limits(&["--head-timeout-ms", "1"]).is_err());
    }
}
