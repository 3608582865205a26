//! What a client, an upstream or a connection may use at most.

use std::time::Duration;

/// What a client, an upstream or a connection may use at most. Times never end early, and late by 0.3 s and 2 %
/// at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's target; more is answered 414.
    pub max_target_bytes: usize,
    /// Header lines per request, at most 128; more is answered 431.
    pub max_headers: usize,
    /// Bytes of request line and headers, at least 8 KiB; more is answered 431.
    pub max_head_bytes: usize,
    /// From a request's first byte to the end of its headers (then 408), and for a TLS handshake; then the connection is
    /// closed.
    pub head_timeout: Duration,
    /// Between two requests of one connection; then it is closed.
    pub idle_timeout: Duration,
    /// Without a byte of a request's body while we wait for it; then 408. Three quarters of it until the first bytes.
    pub body_timeout: Duration,
    /// Without the client taking anything of an answer that waits for it; then the connection is cut off. Three quarters of
    /// it until it takes the first bytes.
    pub write_timeout: Duration,
    /// The same two for a client that was fast until then, unless the route says otherwise: a longer pause.
    pub pause_timeout: Duration,
    /// Bytes of buffers that requests of all workers hold while they wait. Beyond four fifths of it, or of the connections,
    /// no client may pause for longer than others. 0: no limit.
    pub max_buffer_bytes: usize,
    /// Bytes per second of a body, in either direction, below which these times run; 0: every byte starts them anew.
    pub min_rate: u32,
    /// Without a byte in either direction of a websocket, unless the route says otherwise; then it is closed. `None`: no
    /// limit.
    pub tunnel_idle_timeout: Option<Duration>,
    /// Client connections of all workers; beyond it the longest idle ones are closed, then new ones are answered 503. 0:
    /// no limit.
    pub max_connections: usize,
    /// Connections to clients and to instances, of all workers: what the limit of open files has room for. Beyond it unused
    /// ones are closed, then new ones are answered 503, as are requests that need one. 0: no limit.
    pub max_descriptors: usize,
    /// Connections of one address (IPv6: of one /64), unless it is a trusted hop; more are answered 429. 0: no limit.
    pub max_connections_per_client: usize,
    /// To connect to an instance, TLS handshake included, per attempt, unless the route says otherwise.
    pub connect_timeout: Duration,
    /// From the end of the request, or the last part of its body, to the head of the response, unless the route says
    /// otherwise.
    pub response_timeout: Duration,
    /// Without a byte of a response's body from the instance; then the response is broken off. Unless the route says
    /// otherwise, or the request is a stream.
    pub stream_idle_timeout: Duration,
    /// How long an unused upstream connection is kept.
    pub pool_idle_timeout: Duration,
    /// Unused upstream connections kept per instance and worker.
    pub pool_idle_per_endpoint: usize,
    /// Instances tried until one accepts a connection.
    pub connect_attempts: usize,
}

impl Limits {
    /// Whether so many connections, or bytes of buffers, are more than four fifths of what there may be.
    pub(super) fn are_pressed(&self, connections: u64, held: u64) -> bool {
        let is_much = |used: u64, max: usize| max > 0 && used.saturating_mul(5) > (max as u64).saturating_mul(4);
        is_much(connections, self.max_connections) || is_much(held, self.max_buffer_bytes)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_target_bytes: 16 * 1024,
            max_headers: 100,
            max_head_bytes: 64 * 1024,
            head_timeout: Duration::from_secs(8),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            pause_timeout: Duration::from_secs(60),
            max_buffer_bytes: 256 * 1024 * 1024,
            min_rate: 500,
            tunnel_idle_timeout: Some(Duration::from_secs(600)),
            max_connections: 0,
            max_descriptors: 0,
            max_connections_per_client: 0,
            connect_timeout: Duration::from_secs(2),
            response_timeout: gray_routes::RESPONSE_TIMEOUT,
            stream_idle_timeout: Duration::from_secs(300),
            pool_idle_timeout: Duration::from_secs(60),
            pool_idle_per_endpoint: 256,
            connect_attempts: 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_begins_above_four_fifths() {
        let limits = Limits { max_connections: 10, max_buffer_bytes: 1000, ..Limits::default() };
        for (connections, held, expect) in
            [(0, 0, false), (8, 800, false), (9, 0, true), (0, 801, true), (u64::MAX, u64::MAX, true)]
        {
            assert_eq!(limits.are_pressed(connections, held), expect, "{connections} {held}");
        }
        let unlimited = Limits { max_connections: 0, max_buffer_bytes: 0, ..limits };
        assert!(!unlimited.are_pressed(u64::MAX, u64::MAX));
    }
}
