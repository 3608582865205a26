//! What searches that go back may take.

use std::cell::Cell;

/// The account of the searches for one request that go back. Linear ones take nothing from it.
#[derive(Debug)]
pub struct Steps(Cell<usize>);

/// Searches came to more steps than they may take: nothing is known of the text, least of all that it does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a regular expression takes too many steps for this text")]
pub struct StepLimit;

impl Steps {
    /// Steps of all searches on one account. A step looks at one character or goes back to one place: 20 to 25 ns of a busy core
    /// that is not a fast one, so that all of them come to 2.5 ms.
    pub const LIMIT: usize = 100_000;

    /// Takes so many steps.
    pub(super) fn take(&self, count: usize) -> Result<(), StepLimit> {
        match self.0.get().checked_sub(count) {
            Some(left) => {
                self.0.set(left);
                Ok(())
            }
            None => {
                self.0.set(0);
                Err(StepLimit)
            }
        }
    }

    /// How many are left.
    pub fn left(&self) -> usize {
        self.0.get()
    }
}

impl Default for Steps {
    fn default() -> Self {
        Self(Cell::new(Self::LIMIT))
    }
}
