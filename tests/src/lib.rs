//! What the end-to-end tests stand on: a real Nacos in a container, our programs as processes, requests, and waiting.
//! And the [`scorecard`]: what releases, faults and attacks cost, measured.
//!
//! No test sleeps for a fixed time: it waits for a state, with a deadline ([`eventually`]).

#![expect(clippy::disallowed_methods, reason = "tests handle no request, so no task can lose a release context")]

pub mod cable;
pub mod chain;
pub mod documents;
pub mod eureka;
pub mod faults;
pub mod interop;
pub mod lab;
pub mod load;
pub mod nacos;
pub mod ports;
pub mod process;
pub mod recorder;
pub mod request;
pub mod scorecard;
pub mod stage;
pub mod traffic;
mod wait;

pub use chain::{Chain, Setup};
pub use documents::Documents;
pub use eureka::Eureka;
pub use lab::Lab;
pub use nacos::Nacos;
pub use process::App;
pub use recorder::Recorder;
pub use request::{Answer, Http, Seen};
pub use stage::Stage;
pub use wait::{eventually, eventually_within};
