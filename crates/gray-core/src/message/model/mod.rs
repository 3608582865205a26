//! The rules of this module, explored exhaustively: every order in which two baseline and two gray processes can do what they
//! do, with crashes, restarts, rebalances, late commits and late looks, while the gray version comes, goes, is promoted and replaced.
//!
//! Partitions influence each other by membership alone, and a rebalance may give any partition to any member; so what can
//! happen to one of three can happen to one alone. One is explored deeply, two and three with fewer faults.
//!
//! What is checked, in every state:
//!
//! - *loss*: if nothing fails any more, every message is handled, whether the gray processes that are alive live on or die;
//! - *wrong*: a baseline process that has looked since a gray one is alive handles no gray message;
//! - *duplicates*: a message is handled again only if its first handling was not acknowledged when its process lost the
//!   partition, or lies between announcing a change and learning it.
//!
//! A check that cannot fail proves nothing: [`Variant`] has machines with one rule broken, and each is found.

mod action;
mod drain;
mod explore;
mod state;
mod step;

use action::Variant;
use explore::{Config, Found, explore};

/// Kinds of messages: gray by the first split, by the second, by both. Ordinary ones are the baseline's whatever happens.
const FIRST: u8 = 1;
const SECOND: u8 = 2;
const BOTH: u8 = 3;

fn sound(name: &str, config: Config) {
    let report = explore(&config, Variant::Sound);
    println!("{name}: {} states, {} steps", report.states, report.steps);
    assert!(report.found.is_none(), "{}", report.found.expect("a trace"));
    assert!(report.states > 1_000, "{name}: {} states are no exploration", report.states);
}

fn broken(variant: Variant, expect: &str, config: Config) {
    let report = explore(&config, variant);
    let found: Found = report.found.unwrap_or_else(|| panic!("{variant:?} was not found in {} states", report.states));
    println!("{variant:?}, after {} states: {found}", report.states);
    assert_eq!(found.what, expect, "{variant:?}");
}

#[test]
fn one_partition_that_is_rebalanced_while_the_version_changes() {
    sound("rebalances", Config { starts: 1, rebalances: 1, goals: 1, ..Config::new(&[&[FIRST]]) });
}

#[test]
fn one_partition_whose_owners_crash_while_the_version_changes() {
    sound("crashes", Config { crashes: 1, starts: 1, goals: 1, ..Config::new(&[&[FIRST]]) });
}

#[test]
fn one_partition_whose_offsets_are_set_by_a_tool() {
    sound("tool", Config { crashes: 1, starts: 1, wipes: 1, ..Config::new(&[&[FIRST]]) });
}

#[test]
fn two_messages_in_a_partition() {
    let begun = || Config { is_begun: true, ..Config::new(&[&[FIRST, FIRST]]) };
    sound("two messages, crashes", Config { crashes: 1, starts: 1, ..begun() });
    sound("two messages, another version", Config { goals: 1, ..begun() });
}

#[test]
fn one_version_after_another() {
    sound("versions", Config { is_begun: true, goals: 2, ..Config::new(&[&[BOTH]]) });
}

#[test]
fn two_partitions() {
    sound("two", Config { starts: 1, ..Config::new(&[&[FIRST], &[FIRST]]) });
}

#[test]
fn three_partitions() {
    sound("three", Config { is_begun: true, ..Config::new(&[&[FIRST], &[FIRST], &[FIRST]]) });
}

#[test]
#[ignore = "half a minute: for changes of the rules"]
fn more_of_everything() {
    let begun = |logs: &[&[u8]]| Config { is_begun: true, ..Config::new(logs) };
    sound("two messages, both", Config { crashes: 1, goals: 1, ..begun(&[&[FIRST, FIRST]]) });
    sound("two messages, versions", Config { goals: 2, ..begun(&[&[BOTH, FIRST]]) });
    sound("crashes and restarts", Config { crashes: 1, starts: 1, goals: 1, ..begun(&[&[FIRST]]) });
    sound("tool", Config { crashes: 1, starts: 1, goals: 1, wipes: 1, ..Config::new(&[&[FIRST]]) });
}

/// The naive rule: skip while a gray process is there.
#[test]
fn skipping_without_a_ledger_loses_messages() {
    broken(Variant::SkipsBySight, "lost", Config { crashes: 1, starts: 1, ..Config::new(&[&[FIRST]]) });
}

/// An end that another process announces, and that the owner of the partition learns later.
#[test]
fn an_end_that_the_owner_does_not_set_loses_messages() {
    broken(Variant::EndByOthers, "lost", Config { starts: 1, crashes: 1, goals: 1, ..Config::new(&[&[FIRST, FIRST]]) });
}

#[test]
fn passing_a_range_unknown_loses_messages() {
    let config = || Config { starts: 1, crashes: 1, goals: 2, ..Config::new(&[&[BOTH, BOTH, SECOND]]) };
    broken(Variant::NeverGoesBack, "lost", config());
}

#[test]
fn a_gray_group_that_begins_at_the_end_loses_messages() {
    broken(Variant::BeginsAtTheEnd, "lost", Config { starts: 1, ..Config::new(&[&[FIRST]]) });
}

#[test]
fn an_end_at_the_baselines_position_repeats_messages() {
    let config = Config { starts: 1, goals: 1, ..Config::new(&[&[FIRST, FIRST]]) };
    broken(Variant::EndsWhereTheBaselineIs, "handled twice", config);
}
