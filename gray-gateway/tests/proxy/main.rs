//! The data plane on real sockets: what a client sends, what a backend gets, byte by byte.

mod access_log;
mod bodies;
mod boundaries;
mod care;
mod certificates;
mod edge;
mod files;
mod gray;
mod guard;
pub(crate) mod h2;
mod hedge;
mod http1;
mod lane_targets;
mod lanes;
mod life;
mod limits;
mod pauses;
mod sizes;
mod slow;
mod smuggling;
mod spread;
mod support;
mod time_limits;
mod tls;
mod upstream;
mod websocket;
mod wire;
