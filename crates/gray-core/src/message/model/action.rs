//! What can happen, and the machines to which it happens.

use super::state::Split;

/// The machine that is explored, or one of those with a rule broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    Sound,
    /// The baseline skips while it sees a gray process, whatever is committed.
    SkipsBySight,
    /// Any baseline process sets the end, at the committed position; the owner goes on by what it has in memory.
    EndByOthers,
    /// The gray group never goes back to a range that it did not know.
    NeverGoesBack,
    /// A gray group without a commit begins at the end of the log, as `auto.offset.reset=latest` does.
    BeginsAtTheEnd,
    /// The end takes no notice of how far the gray group is.
    EndsWhereTheBaselineIs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Start(usize),
    Crash(usize),
    /// The operator says which gray version there is to be.
    Goal(Option<Split>),
    /// A baseline process asks who is in the gray group, and reads its settings.
    Look(usize),
    /// T is over: it joins the gray group.
    StandBy(usize),
    BaseRevoke(usize),
    GrayRevoke(usize),
    BaseAssign(usize, usize),
    GrayAssign(usize, usize),
    /// The owner of a partition asks how far the gray group is.
    Ask(usize),
    /// It commits another ledger.
    Announce(usize),
    BaseRead(usize),
    BaseCommit(usize),
    Learn(usize),
    GrayRead(usize),
    GrayCommit(usize),
    /// A tool sets the offsets of the baseline group, to what they are, and so wipes the metadata.
    Wipe(usize),
}
