//! The scorecard: what a release, a fault or an attacker may cost, measured. One scenario, one file, one printed row.
//!
//! Every scenario has a full form (`make scorecard`) and a short one (`make test`). The short one runs beside other
//! tests on the same cores: it counts as strictly, but does not hold the machine to latencies ([`Scale::slack`]).

mod cold_registry;
mod conformance;
mod crash;
mod gateway_restart;
mod graph;
mod gray_integrity;
mod ground;
mod guarded_paths;
mod h2_abuse;
mod hostile_documents;
mod live_config;
mod overload;
pub mod proc;
mod propagation;
mod registry_outage;
mod report;
mod reregister;
mod rolling;
mod site;
mod size;
mod slow_clients;
mod smugglex;
mod smuggling;
mod soak;
mod supply_chain;
pub(crate) mod tools;

use std::{future::Future, pin::Pin, time::Duration};

use anyhow::Result;
use serde::{Deserialize, Serialize};

pub use ground::Ground;
pub use report::{Report, table};
pub use site::{CANARY, Plot, SHOP, Site, common, gateway};

use crate::load::Verdict;

/// How much of a scenario to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// In seconds, beside other tests.
    Short,
    /// As the target says, alone on the machine.
    Full,
}

impl Scale {
    /// One or the other.
    pub fn pick<T>(self, short: T, full: T) -> T {
        match self {
            Self::Short => short,
            Self::Full => full,
        }
    }

    /// A limit on time as it counts here: six times as much where other tests use the machine as well.
    pub fn slack(self, limit: Duration) -> Duration {
        limit * self.pick(6, 1)
    }
}

/// What a scenario measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// In words and numbers.
    pub measured: String,
    /// What had to be reached.
    pub target: String,
    /// Whether it was.
    pub pass: bool,
    /// It could not be measured here; it neither passed nor failed.
    pub skipped: bool,
    /// More numbers, and the first failures.
    pub details: Vec<String>,
}

impl Row {
    /// A measured row.
    pub fn new(measured: impl Into<String>, target: impl Into<String>, pass: bool) -> Self {
        Self { measured: measured.into(), target: target.into(), pass, skipped: false, details: Vec::new() }
    }

    /// A row that cannot be measured here, and why.
    pub fn skipped(why: impl Into<String>, target: impl Into<String>) -> Self {
        Self { skipped: true, ..Self::new(why, target, false) }
    }

    /// With one more note.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.details.push(note.into());
        self
    }

    /// With what went wrong.
    #[must_use]
    pub fn examples(mut self, verdict: &Verdict) -> Self {
        self.details.extend(verdict.examples.iter().map(|example| format!("failed: {example}")));
        self
    }
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<Row>> + Send + 'a>>;

/// A scenario.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its number on the scorecard; faults have an F.
    pub number: &'static str,
    /// Its name; also what it is asked for by.
    pub name: &'static str,
    run: for<'a> fn(&'a Ground, Scale) -> Running<'a>,
}

impl std::fmt::Debug for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scenario").field("number", &self.number).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Scenario {
    /// Runs it.
    ///
    /// # Errors
    /// When it could not be carried out; a missed target is no error but a row.
    pub async fn run(&self, ground: &Ground, scale: Scale) -> Result<Row> {
        (self.run)(ground, scale).await
    }
}

/// A list of scenarios; each is a module with `async fn run(&Ground, Scale) -> Result<Row>`.
macro_rules! scenarios {
    ($($number:literal $name:literal $module:path),* $(,)?) => {
        /// All scenarios, in the order of the scorecard.
        pub fn scenarios() -> Vec<Scenario> {
            vec![$(Scenario {
                number: $number,
                name: $name,
                run: |ground, scale| { use $module as module; Box::pin(module::run(ground, scale)) },
            }),*]
        }
    };
}

scenarios![
    "1" "rolling release" self::rolling,
    "2" "registry outage" self::registry_outage,
    "3" "cold registry restart" self::cold_registry,
    "4" "crash" self::crash,
    "5" "discovery propagation" self::propagation,
    "6" "re-register after a cut" self::reregister,
    "7" "live config" self::live_config,
    "8" "gateway restart" self::gateway_restart,
    "9" "gray integrity" self::gray_integrity,
    "10" "conformance" self::conformance,
    "11" "smuggling" self::smuggling,
    "12" "slow clients" self::slow_clients,
    "13" "h2 abuse" self::h2_abuse,
    "14" "overload and retries" self::overload,
    "15" "soak" self::soak,
    "15b" "supply chain" self::supply_chain,
    "16" "guarded paths" self::guarded_paths,
    "17" "hostile documents" self::hostile_documents,
    "18" "at size" self::size,
    "F1" "fault: network to an instance" crate::faults::instance_network,
    "F2" "fault: network to the registry" crate::faults::registry_network,
    "F3" "fault: hung instance" crate::faults::hung_instance,
    "F4" "fault: gateway killed" crate::faults::gateway_killed,
    "F5" "fault: full disk" crate::faults::full_disk,
    "F6" "fault: clock jumps" crate::faults::clock_jumps,
    "F7" "fault: malformed pushes" crate::faults::malformed_pushes,
    "F8" "fault: instance answers 5xx" crate::faults::failing_instance,
    "F9" "fault: start without the registry" crate::faults::start_without_registry,
    "F10" "fault: full disk of the snapshot" crate::faults::full_snapshot_disk,
    "F11" "fault: server of a Nacos cluster killed" crate::faults::cluster_node_killed,
];
