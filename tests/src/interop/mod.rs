//! Services in other languages (`examples/`) in one chain with ours, on a real Nacos or a real Eureka: which versions answer, lane by lane,
//! and what it costs when their instances die, stop and come.
//!
//! The services know nothing of lanes. OpenTelemetry passes baggage on in them (in the axum service a layer and a middleware of ours
//! do), and a gateway in egress mode beside each order service picks the instance that its call goes to.

mod chain;
mod load;
mod report;

use std::fmt;

use clap::ValueEnum;

pub use chain::{Beside, Home, Hop, Mixed, Role};
pub use load::{Faults, Tally};
pub use report::{Kind, Report, Row};

/// What services are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Stack {
    /// Ours: order-app and user-app of this workspace.
    Rust,
    /// Spring Boot 3.5.
    #[value(name = "java-boot35")]
    JavaBoot35,
    /// Spring Boot 4.0.
    #[value(name = "java-boot40")]
    JavaBoot40,
    /// Spring Boot 3.5 with Spring Cloud Netflix, registered in Eureka.
    JavaEureka,
    /// FastAPI.
    Python,
    /// Express.
    Node,
    /// A Rust service that is not made of our starter.
    Axum,
}

impl Stack {
    /// Those that are not ours.
    pub const OTHERS: [Self; 6] =
        [Self::JavaBoot35, Self::JavaBoot40, Self::JavaEureka, Self::Python, Self::Node, Self::Axum];

    /// Its directory below `examples/`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::JavaBoot35 => "java-boot35",
            Self::JavaBoot40 => "java-boot40",
            Self::JavaEureka => "java-eureka",
            Self::Python => "python",
            Self::Node => "node",
            Self::Axum => "axum",
        }
    }

    /// What passes the lane on in it.
    pub fn carrier(self) -> &'static str {
        match self {
            Self::Rust | Self::Axum => "our layer and middleware",
            Self::JavaBoot35 | Self::JavaBoot40 | Self::JavaEureka | Self::Python | Self::Node => "OpenTelemetry",
        }
    }

    /// How its order service can call user-app: values of `via`. Requests take them in turn.
    pub fn ways(self) -> &'static [&'static str] {
        match self {
            Self::Rust => &["client"],
            Self::JavaBoot35 | Self::JavaBoot40 | Self::JavaEureka => {
                &["feign", "rest-client", "rest-template", "async", "pool"]
            }
            Self::Python => &["httpx", "task", "requests", "pool"],
            Self::Node => &["fetch", "axios", "timer"],
            Self::Axum => &["reqwest", "spawn"],
        }
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A lane of `examples/nacos/gray-rules.yaml`: the header `x-lane` asks for it.
#[derive(Clone, Copy, Debug)]
pub struct Lane {
    /// Its name.
    pub name: &'static str,
    /// The version of order-app that it is served by.
    pub order: &'static str,
    /// The version of user-app.
    pub user: &'static str,
}

/// All lanes: every combination of versions.
pub const LANES: [Lane; 4] = [
    Lane { name: "baseline", order: "V1", user: "V1" },
    Lane { name: "canary", order: "V2", user: "V2" },
    Lane { name: "new-order", order: "V2", user: "V1" },
    Lane { name: "new-user", order: "V1", user: "V2" },
];
