//! How a ledger is written into the metadata of a commit.
//!
//! `gray1;10-25@on,V1,V2,prod,version:V1,version:V2;40-@…`: ranges, each with its split: what the tags mean (on or off, `prod`,
//! `gray`, fallback), and the labels of both sides, joined by `&`.

use std::{fmt, sync::Arc};

use super::{Ledger, MAX_RANGES, Range, Split, Worked, split::fallback};
use crate::{balance::VersionPolicy, instance::Metadata};

/// Longest text that is read, in bytes: what brokers keep of a commit unless they are told otherwise (`offset.metadata.max.bytes`).
pub const MAX_LEDGER_BYTES: usize = 4096;

const FORMAT: &str = "gray1";

/// The text is not a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a ledger of this version: expected `gray1;` and ranges such as `10-25@on,V1,V2,prod,version:V1,version:V2`"
)]
pub struct ParseLedgerError;

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORMAT)?;
        for range in self.ranges() {
            write!(f, ";{}-", range.start)?;
            if let Some(end) = range.end {
                write!(f, "{end}")?;
            }
            write!(f, "@{}", range.split)?;
        }
        Ok(())
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = self.policy();
        write!(f, "on,{},{},{}", policy.prod, policy.gray, policy.fallback.as_str())?;
        for labels in [self.baseline(), self.gray()] {
            f.write_str(",")?;
            for (place, (key, value)) in labels.iter().enumerate() {
                write!(f, "{}{key}:{value}", if place == 0 { "" } else { "&" })?;
            }
        }
        Ok(())
    }
}

impl Ledger {
    /// Reads what a member of this convention has committed. The empty text, which others commit, is the empty ledger.
    ///
    /// # Errors
    /// When it is something else, such as the metadata of another program.
    pub fn parse(text: &str) -> Result<Self, ParseLedgerError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let mut parts = Some(text).filter(|text| text.len() <= MAX_LEDGER_BYTES).ok_or(ParseLedgerError)?.split(';');
        if parts.next() != Some(FORMAT) {
            return Err(ParseLedgerError);
        }
        let mut splits: Vec<Arc<Split>> = Vec::new();
        let mut range = |text: &str| {
            let (offsets, split) = text.split_once('@')?;
            let (start, end) = offsets.split_once('-')?;
            let end = if end.is_empty() { None } else { Some(end.parse().ok()?) };
            let split = split_of(split)?;
            let shared = splits.iter().find(|known| ***known == split).cloned();
            let split = shared.unwrap_or_else(|| {
                splits.push(Arc::new(split));
                splits.last().cloned().unwrap_or_else(|| unreachable!("it was just put there"))
            });
            Some(Range { start: start.parse().ok()?, end, split })
        };
        // The gray group keeps ranges that it has not passed beside those of the ledger.
        let ranges: Option<Vec<_>> = parts.by_ref().take(2 * MAX_RANGES).map(&mut range).collect();
        let is_all = parts.next().is_none();
        ranges.filter(|_| is_all).and_then(Self::new).ok_or(ParseLedgerError)
    }
}

impl Worked {
    /// Reads a commit of the gray group.
    ///
    /// # Errors
    /// As [`Ledger::parse`].
    pub fn parse(position: i64, text: &str) -> Result<Self, ParseLedgerError> {
        Ok(Self { position, known: Ledger::parse(text)? })
    }
}

fn split_of(text: &str) -> Option<Split> {
    let mut parts = text.split(',');
    let mut next = || parts.next();
    let (load, prod, gray, fallback) = (next()? == "on", next()?, next()?, fallback(next()?)?);
    let (baseline, other) = (labels(next()?)?, labels(next()?)?);
    let policy = VersionPolicy::new(load, prod, gray, fallback);
    parts.next().is_none().then(|| Split::new(&policy, baseline, other)).flatten()
}

fn labels(text: &str) -> Option<Metadata> {
    if text.is_empty() {
        return Some(Metadata::default());
    }
    text.split('&').map(|label| label.split_once(':')).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::balance::Fallback;

    fn split(gray: &str) -> Arc<Split> {
        let policy = VersionPolicy::new(true, "V1", gray, Fallback::Prod);
        Split::between_versions(&policy).expect("a split").into()
    }

    #[test]
    fn a_ledger_is_read_as_it_was_written() {
        let range = |start, end, gray| Range { start, end, split: split(gray) };
        for ranges in [vec![], vec![range(0, None, "V2")], vec![range(3, Some(9), "V2"), range(9, None, "V3")]] {
            let ledger = Ledger::new(ranges).expect("in order");
            assert_eq!(Ledger::parse(&ledger.to_string()), Ok(ledger));
        }
        assert_eq!(
            Ledger::new(vec![range(3, Some(9), "V2")]).expect("in order").to_string(),
            "gray1;3-9@on,V1,V2,prod,version:V1,version:V2"
        );
    }

    #[test]
    fn what_others_commit_is_no_ledger() {
        for text in [
            "x",
            "gray2",
            "gray1;",
            "gray1;5",
            "gray1;5-4@on,V1,V2,prod,version:V1,version:V2",
            "gray1;-5-@on,V1,V2,prod,version:V1,version:V2",
            "gray1;5-@off,V1,V2,prod,version:V1,version:V2",
            "gray1;5-@on,V1,V2,never,version:V1,version:V2",
            "gray1;5-@on,V1,V2,prod,version:V1,version:V2,",
            "gray1;5-@on,V1,V2,prod,version,version:V2",
            "gray1;5-@on,V1,V2,prod,version:V1,version:V2;9-@on,V1,V2,prod,version:V1,version:V2",
            &format!("gray1{}", ";5-6@on,V1,V2,prod,version:V1,version:V2".repeat(100)),
        ] {
            assert_eq!(Ledger::parse(text), Err(ParseLedgerError), "{text}");
        }
        assert_eq!(Ledger::parse(""), Ok(Ledger::default()));
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "(gray1)?[;0-9a-z@,:&-]{0,200}") {
            if let Ok(ledger) = Ledger::parse(&text) && !text.is_empty() {
                prop_assert_eq!(Ledger::parse(&ledger.to_string()), Ok(ledger));
            }
        }
    }
}
