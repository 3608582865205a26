//! The data plane on real sockets: what a client sends, what a backend gets, byte by byte.

mod access_log;
mod bodies;
mod care;
mod certificates;
mod descriptors;
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
mod slow;
mod smuggling;
mod spread;
mod support;
mod tls;
mod tunnels;
mod upstream;
mod websocket;
mod wire;
