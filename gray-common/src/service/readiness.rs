//! What `/readyz` says.

use std::{fmt, sync::Arc};

use super::Phase;

type Check = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// A list of things that must be so before a process may be sent requests. Each check names the reason when it is not.
#[derive(Clone, Default)]
pub struct Readiness {
    checks: Arc<Vec<Check>>,
    phase: Option<Arc<dyn Fn() -> Phase + Send + Sync>>,
}

impl Readiness {
    /// Readiness that depends on these checks.
    pub fn new(checks: Vec<Check>) -> Self {
        Self { checks: Arc::new(checks), phase: None }
    }

    /// The same, which knows the phase too.
    #[must_use]
    pub fn in_phase(self, phase: impl Fn() -> Phase + Send + Sync + 'static) -> Self {
        Self { phase: Some(Arc::new(phase)), ..self }
    }

    /// Where the process is in its life.
    pub fn phase(&self) -> Phase {
        self.phase.as_ref().map_or(Phase::Starting, |phase| phase())
    }

    /// Why the process is not ready; empty when it is.
    pub fn reasons(&self) -> Vec<String> {
        self.checks.iter().filter_map(|check| check()).collect()
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("reasons", &self.reasons()).finish()
    }
}
