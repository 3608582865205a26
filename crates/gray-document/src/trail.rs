//! The way to a value, written out only when there is something to say about it: a list may have many items, far down.

use std::{fmt, sync::Arc};

use super::{key, problem::shown};

/// Keys and places from the root; empty at the root.
#[derive(Clone, Debug, Default)]
pub(super) struct Trail(Option<Arc<Step>>);

#[derive(Debug)]
struct Step {
    before: Trail,
    at: At,
}

#[derive(Debug)]
enum At {
    Key(Arc<str>),
    Place(usize),
}

impl Trail {
    pub(super) fn key(&self, key: &Arc<str>) -> Self {
        self.step(At::Key(Arc::clone(key)))
    }

    pub(super) fn place(&self, place: usize) -> Self {
        self.step(At::Place(place))
    }

    fn step(&self, at: At) -> Self {
        Self(Some(Arc::new(Step { before: self.clone(), at })))
    }
}

impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(step) = &self.0 else { return Ok(()) };
        step.before.fmt(f)?;
        match &step.at {
            At::Place(place) => write!(f, "[{place}]"),
            At::Key(key) if step.before.0.is_none() || key::place(key).is_some() => f.write_str(&shown(key)),
            At::Key(key) => write!(f, ".{}", shown(key)),
        }
    }
}
