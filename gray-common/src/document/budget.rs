//! What all documents together may come to in memory once they are read, however small each part of them is.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
    fmt,
};

use super::problem::shown;
use crate::expression::{Expression, Form, Unfit};

/// How the refusal begins: it is said once of all documents, see [`Problems::push`](super::Problems::push).
pub(super) const TOO_MUCH: &str = "all documents together may take ";

/// An account: code that keeps something of a document states first what it takes. What it took is not given back.
pub struct Budget {
    left: Cell<usize>,
    spent: RefCell<BTreeMap<&'static str, usize>>,
    /// Expressions by text and form, each compiled once.
    expressions: RefCell<Known>,
}

type Known = HashMap<(Box<str>, Form), Result<Expression, Unfit>>;

/// The documents come to too much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooMuch {
    /// By kind, the most first.
    spent: Vec<(&'static str, usize)>,
}

/// An expression that is not taken.
enum Refused {
    Unfit(Unfit),
    TooMuch(TooMuch),
}

impl Budget {
    /// Bytes for everything that all documents in effect come to.
    pub const BYTES: usize = 32 << 20;

    /// Takes so many bytes for things of this kind (in the plural).
    ///
    /// # Errors
    /// When so many are not left, now and from then on.
    pub fn spend(&self, kind: &'static str, bytes: usize) -> Result<(), TooMuch> {
        *self.spent.borrow_mut().entry(kind).or_default() += bytes;
        match self.left.get().checked_sub(bytes).filter(|_| self.left.get() > 0) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => {
                self.left.set(0);
                let mut spent: Vec<_> = self.spent.borrow().iter().map(|(kind, bytes)| (*kind, *bytes)).collect();
                spent.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
                Err(TooMuch { spent })
            }
        }
    }

    /// Compiles an expression, unless there is one already that is written the same.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn expression(&self, text: &str, form: Form) -> Result<Expression, String> {
        let key = (Box::from(text), form);
        let refused = |reason: &dyn fmt::Display| format!("`{}`: {reason}", shown(text));
        if let Some(known) = self.expressions.borrow().get(&key) {
            return known.clone().map_err(|unfit| refused(&unfit));
        }
        let spend = |bytes| self.spend("regular expressions", bytes).map_err(Refused::TooMuch);
        let made = match Expression::new(text, form, spend) {
            Err(Refused::TooMuch(too_much)) => return Err(refused(&too_much)),
            Err(Refused::Unfit(unfit)) => Err(unfit),
            Ok(expression) => Ok(expression),
        };
        self.expressions.borrow_mut().insert(key, made.clone());
        made.map_err(|unfit| refused(&unfit))
    }

    /// What is left, in bytes.
    pub fn left(&self) -> usize {
        self.left.get()
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: Cell::new(Self::BYTES), spent: RefCell::default(), expressions: RefCell::default() }
    }
}

impl From<Unfit> for Refused {
    fn from(unfit: Unfit) -> Self {
        Self::Unfit(unfit)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("left", &self.left).field("spent", &self.spent.borrow()).finish_non_exhaustive()
    }
}

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = Budget::BYTES >> 20;
        write!(f, "{TOO_MUCH}{limit} MiB once they are read, and up to here they take more (")?;
        for (place, (kind, bytes)) in self.spent.iter().take(3).enumerate() {
            let before = if place == 0 { "" } else { ", " };
            write!(f, "{before}{kind} {:.1} MiB", *bytes as f64 / f64::from(1 << 20))?;
        }
        f.write_str("); write less here or before")
    }
}

impl std::error::Error for TooMuch {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_stays_spent() {
        let budget = Budget::default();
        budget.spend("rules", 28 << 20).expect("room");
        budget.spend("routes", 1 << 20).expect("room");
        let error = budget.spend("networks", 4 << 20).expect_err("more than there is");
        assert_eq!(
            error.to_string(),
            "all documents together may take 32 MiB once they are read, and up to here they take more \
             (rules 28.0 MiB, networks 4.0 MiB, routes 1.0 MiB); write less here or before"
        );
        assert!(budget.spend("rules", 1).is_err(), "nothing after it passes, however small");
    }

    #[test]
    fn the_same_expression_is_compiled_once() {
        let budget = Budget::default();
        for (text, form, is_known) in [
            ("a.*", Form::WholeText, false),
            ("a.*", Form::WholeText, true),
            ("a.*", Form::Within, false),
            ("(a{1000}){1000}", Form::Within, false),
            ("(a{1000}){1000}", Form::Within, true),
        ] {
            let before = budget.left();
            drop(budget.expression(text, form));
            assert_eq!(budget.left() == before, is_known, "{text} {form:?}");
        }
        drop(budget.spend("others", Budget::BYTES));
        assert!(budget.expression("b.*", Form::Within).expect_err("no room").contains("32 MiB"));
        assert!(budget.expression("a.*", Form::Within).is_ok(), "known");
    }

    /// 1,000 expressions that are each in bounds, in 8 KB.
    #[test]
    fn many_expressions_in_bounds_are_not() {
        let budget = Budget::default();
        let (mut good, mut last) = (Vec::new(), None);
        for number in 0..1000 {
            match budget.expression(&format!(r"\w{{8}}{number}"), Form::WholeBytes) {
                Ok(expression) => good.push(expression),
                Err(error) => last = Some(error),
            }
        }
        assert!((10..200).contains(&good.len()), "{} of 1000 fit", good.len());
        assert!(good.iter().map(Expression::bytes).sum::<usize>() <= Budget::BYTES);
        assert!(last.expect("not all fit").contains("regular expressions"));
    }
}
