//! Where ours differs from Spring on purpose. Each row stands in docs/spring.md, under "Where we differ on purpose", with its reason.

use crate::{
    document::Case,
    observe::{Difference, Outcome, compare},
    release::Release,
};

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

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// As it is called in docs/spring.md.
    pub name: &'static str,
    explains: fn(&Found<'_>) -> bool,
}

/// All that is known.
pub const KNOWN: &[Known] = &[Known {
    name: "Headers of the gray release",
    explains: |found| found.is_sent("gray") || found.is_sent("gray-lane"),
}];

impl Found<'_> {
    /// Whether a field of the request that reaches the instance differs.
    fn is_sent(&self, name: &str) -> bool {
        self.difference.aspect.strip_prefix("sent ").is_some_and(|sent| sent == name)
    }
}

/// The row that explains a difference.
pub fn known(found: &Found<'_>) -> Option<&'static Known> {
    KNOWN.iter().find(|known| (known.explains)(found))
}

/// The differences of one case, each with the row that explains it.
pub fn judge(
    release: Release,
    case: Case<'_>,
    spring: &Outcome,
    ours: &Outcome,
) -> Vec<(Difference, Option<&'static Known>)> {
    let differences = compare(spring, ours).into_iter();
    let judged = differences.map(|difference| {
        let row = known(&Found { release, case, difference: &difference });
        (difference, row)
    });
    judged.collect()
}
