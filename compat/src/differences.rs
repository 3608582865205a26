//! Where ours differs from Spring. Each row of [`KNOWN`] stands in docs/spring.md, under "Where we differ on purpose", with its
//! reason.

use crate::{
    document::Case,
    observe::{Difference, Outcome, REFUSED, compare},
    release::Release,
};

mod purpose;

pub use purpose::KNOWN;

/// A difference with what it was found in.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The release.
    pub release: Release,
    /// What was asked, and of which document.
    pub case: Case<'a>,
    /// The difference.
    pub difference: &'a Difference,
}

/// One row of a table.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// What it is called.
    pub name: &'static str,
    explains: fn(&Found<'_>) -> bool,
}

/// The headers in which proxies say where a request comes from.
const FORWARDED: [&str; 6] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix", "x-forwarded-proto"];

impl<'a> Found<'a> {
    fn aspect(&self) -> &'a str {
        &self.difference.aspect
    }

    fn spring(&self) -> &'a str {
        &self.difference.spring
    }

    fn ours(&self) -> &'a str {
        &self.difference.ours
    }

    /// The field of the request that reaches the instance, if that is what differs.
    fn sent(&self) -> Option<&'a str> {
        let aspect = self.aspect();
        aspect.strip_prefix("sent ").or_else(|| aspect.strip_prefix("dropped "))
    }

    /// The field of the answer, if that is what differs.
    fn answer(&self) -> Option<&'a str> {
        self.aspect().strip_prefix("answer ")
    }

    /// Whether the statuses differ, and begin like this.
    fn is_status(&self, spring: &str, ours: &str) -> bool {
        self.aspect() == "status" && self.spring().starts_with(spring) && self.ours().starts_with(ours)
    }

    /// Whether ours refuses the document, or this route of it.
    fn is_refused(&self) -> bool {
        self.aspect() == "status" && self.ours().starts_with(REFUSED)
    }

    fn target(&self) -> &'a str {
        &self.case.request.target
    }

    fn path(&self) -> &'a str {
        self.target().split('?').next().unwrap_or_default()
    }

    /// Whether the route, or what the whole document says, holds this.
    fn has(&self, text: &str) -> bool {
        self.case.yaml().contains(text) || self.case.document.head.contains(text)
    }

    /// Whether the client says where its request comes from.
    fn is_forwarded(&self) -> bool {
        FORWARDED.iter().chain(&["x-real-ip"]).any(|name| self.case.request.has(name))
    }
}

/// The row that explains a difference.
pub fn known(found: &Found<'_>) -> Option<&'static str> {
    KNOWN.iter().find(|known| (known.explains)(found)).map(|known| known.name)
}

/// The differences of one case, each with the row that explains it.
pub fn judge(release: Release, case: Case<'_>, spring: &Outcome, ours: &Outcome) -> Vec<Judged> {
    let differences = compare(spring, ours).into_iter();
    let judged = differences.map(|difference| {
        let row = known(&Found { release, case, difference: &difference });
        (difference, row)
    });
    judged.collect()
}

/// A difference, and the row that explains it.
pub type Judged = (Difference, Option<&'static str>);
