//! What all documents together may come to in memory once they are read, however small each part of them is.

use std::{
    any::{Any, TypeId},
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
    fmt,
    hash::Hash,
};

use super::problem::shown;

/// How the refusal begins: it is said once of all documents, see [`Problems::push`](super::Problems::push).
pub(super) const TOO_MUCH: &str = "all documents together may take ";

/// An account: code that keeps something of a document states first what it takes. What it took is not given back.
pub struct Budget {
    left: Cell<usize>,
    spent: RefCell<BTreeMap<&'static str, usize>>,
    /// What was compiled, each once, by the type of its form: a [`Known`] for each.
    compiled: RefCell<HashMap<TypeId, Box<dyn Any + Send>>>,
}

/// A form in which texts of documents are compiled. The engine is another crate's; the account has what it takes.
pub trait Compile: Copy + Eq + Hash + Send + 'static {
    /// What comes of it; a clone is the same one.
    type Expression: Clone + Send + 'static;
    /// Why nothing does.
    type Unfit: Clone + fmt::Display + Send + 'static;
    /// What these things are called in the account, in the plural.
    const KIND: &'static str;

    /// Compiles a text. `spend` is asked for memory, in bytes, before it is taken.
    ///
    /// # Errors
    /// Why it cannot be used, or what `spend` said.
    fn compile<E: From<Self::Unfit>>(
        self,
        text: &str,
        spend: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<Self::Expression, E>;
}

/// By text and form.
type Known<F> = HashMap<(Box<str>, F), Result<<F as Compile>::Expression, <F as Compile>::Unfit>>;

/// The documents come to too much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooMuch {
    /// By kind, the most first.
    spent: Vec<(&'static str, usize)>,
}

/// An expression that is not taken.
enum Refused<U> {
    Unfit(U),
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
    pub fn expression<F: Compile>(&self, text: &str, form: F) -> Result<F::Expression, String> {
        let key = (Box::from(text), form);
        let refused = |reason: &dyn fmt::Display| format!("`{}`: {reason}", shown(text));
        if let Some(known) = self.known(|known: &mut Known<F>| known.get(&key).cloned()) {
            return known.map_err(|unfit| refused(&unfit));
        }
        let spend = |bytes| self.spend(F::KIND, bytes).map_err(Refused::TooMuch);
        let made = match form.compile(text, spend) {
            Err(Refused::TooMuch(too_much)) => return Err(refused(&too_much)),
            Err(Refused::Unfit(unfit)) => Err(unfit),
            Ok(expression) => Ok(expression),
        };
        self.known(|known: &mut Known<F>| known.insert(key, made.clone()));
        made.map_err(|unfit| refused(&unfit))
    }

    fn known<F: Compile, T>(&self, look: impl FnOnce(&mut Known<F>) -> T) -> T {
        let mut compiled = self.compiled.borrow_mut();
        let known = compiled.entry(TypeId::of::<F>()).or_insert_with(|| Box::new(Known::<F>::default()));
        look(known.downcast_mut().expect("filed under its type"))
    }

    /// What is left, in bytes.
    pub fn left(&self) -> usize {
        self.left.get()
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: Cell::new(Self::BYTES), spent: RefCell::default(), compiled: RefCell::default() }
    }
}

impl<U> From<U> for Refused<U> {
    fn from(unfit: U) -> Self {
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
}
