//! Regular expressions of documents, bounded in what they take, compiled and while they search.
//!
//! Those of rules are [`Expression`]s: linear in the text, and no others. Those of routes are [`JavaExpression`]s, because Spring's are:
//! linear where they can be, else with a limit of steps that is never taken for "does not match".
//!
//! It is compiled in one of the forms that documents know, on their account
//! ([`Budget::expression`](gray_document::Budget::expression)). Never depends on what expressions are for: rules, routes.
//!
//! What a linear search needs besides the expression itself (states of the lazily built automaton, above all) is kept by each
//! thread for all its expressions together (`search`), so that it does not grow with their number.

mod charge;
mod effort;
mod java;
mod search;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use regex_automata::{
    Input,
    meta::{BuildError, Regex},
    nfa::thompson::WhichCaptures,
    util::primitives::NonMaxUsize,
};
use regex_syntax::{
    ast,
    hir::{Hir, Look, translate::TranslatorBuilder},
};

pub use self::java::{Groups, JavaExpression, JavaForm, StepLimit, Steps};
pub use regex_syntax::escape;
pub use search::KEPT_BYTES;

/// Longest expression, in bytes.
const MAX_TEXT: usize = 4096;
/// What one expression may come to, compiled.
const MAX_COMPILED: usize = 1 << 20;
/// States of the automaton that one expression keeps; it is built anew beyond that.
const AUTOMATON: usize = 256 << 10;
/// Most groups of an expression whose groups are asked for.
const MAX_GROUPS: usize = 32;
/// What every expression takes, however short, beside what its parts say of themselves: 8 KiB of memory, measured with
/// 8,000 of them. Half as much again stands for the time, so that a document full of them is judged within a second.
const SELF: usize = 12 << 10;

/// How an expression is to be matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// It has to cover the whole of a value, which need not be text.
    WholeBytes,
}

/// An expression that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// Not an expression, or one that needs what the search does not have.
    #[error("not a regular expression that can be used here: {0}")]
    Invalid(String),
    /// It comes to too much.
    #[error(
        "takes more than {limit} KiB compiled, the size limit of one expression: repeat less, or write [0-9A-Za-z_] for \
         \\w and [0-9] for \\d",
        limit = MAX_COMPILED >> 10
    )]
    TooLarge,
    /// It is too long.
    #[error("longer than {MAX_TEXT} bytes")]
    TooLong,
    /// It has too many groups.
    #[error("more than {MAX_GROUPS} groups; write (?:...) for those that are not asked for")]
    TooManyGroups,
}

/// A compiled expression; a clone is the same one.
#[derive(Clone)]
pub struct Expression {
    text: Arc<str>,
    compiled: Arc<Compiled>,
}

/// What the linear engine searches with.
struct Compiled {
    /// Tells expressions apart where what they need for a search is kept.
    id: u64,
    regex: Regex,
    bytes: usize,
}

impl Expression {
    /// Compiles it. `spend` is asked for memory, in bytes, before it is taken, and once more for what it came to.
    ///
    /// # Errors
    /// Why it cannot be used, or what `spend` said.
    pub fn new<E: From<Unfit>>(
        text: &str,
        form: Form,
        mut spend: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<Self, E> {
        if text.len() > MAX_TEXT {
            return Err(Unfit::TooLong.into());
        }
        let ast = ast::parse::ParserBuilder::new().nest_limit(50).build().parse(text);
        let ast = ast.map_err(|error| Unfit::Invalid(at(text, error.kind(), error.span().start.offset)))?;
        // What it takes to read grows with other things than what it compiles to.
        spend(effort::of(&ast, text))?;
        let hir = match form {
            Form::WholeBytes => TranslatorBuilder::new().utf8(false).build().translate(text, &ast),
        };
        let hir = hir.map_err(|error| Unfit::Invalid(at(text, error.kind(), error.span().start.offset)))?;
        let hir = Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]);
        let compiled = Compiled::new(&hir, WhichCaptures::Implicit, false, &mut spend)?;
        Ok(Self { text: text.into(), compiled: Arc::new(compiled) })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.compiled.bytes
    }

    /// Whether it matches.
    pub fn is_match(&self, text: impl AsRef<[u8]>) -> bool {
        self.compiled.is_match(text.as_ref())
    }
}

impl Compiled {
    fn new<E: From<Unfit>>(
        hir: &Hir,
        captures: WhichCaptures,
        is_text: bool,
        spend: &mut impl FnMut(usize) -> Result<(), E>,
    ) -> Result<Self, E> {
        let groups = if matches!(captures, WhichCaptures::All) { hir.properties().explicit_captures_len() } else { 0 };
        let config = Regex::config()
            .nfa_size_limit(Some(MAX_COMPILED))
            .onepass_size_limit(Some(AUTOMATON))
            .hybrid_cache_capacity(AUTOMATON)
            .utf8_empty(is_text)
            .which_captures(captures);
        let regex = match Regex::builder().configure(config).build_from_hir(hir) {
            Ok(regex) => regex,
            Err(error) => {
                // It took the time of the largest.
                spend(MAX_COMPILED)?;
                return Err(unfit(&error).into());
            }
        };
        // Where groups are asked for, a search notes them for every state.
        let bytes = SELF + regex.memory_usage() * (1 + groups);
        spend(bytes)?;
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Ok(Self { id: NEXT.fetch_add(1, Relaxed), regex, bytes })
    }

    fn is_match(&self, text: &[u8]) -> bool {
        let input = Input::new(text).earliest(true);
        search::with(self.id, &self.regex, |cache| self.regex.search_half_with(cache, &input).is_some())
    }

    /// The first match from there on, and its groups: two positions each, `usize::MAX` for those that take no part.
    fn find(&self, text: &str, from: usize, slots: &mut Vec<usize>) -> bool {
        let count = self.regex.group_info().slot_len();
        let mut found: [Option<NonMaxUsize>; 2 * (MAX_GROUPS + 1)] = [None; 2 * (MAX_GROUPS + 1)];
        let found = &mut found[..count.min(2 * (MAX_GROUPS + 1))];
        let input = Input::new(text).range(from..);
        let matched =
            search::with(self.id, &self.regex, |cache| self.regex.search_slots_with(cache, &input, found).is_some());
        slots.clear();
        slots.extend(found.iter().map(|slot| slot.map_or(usize::MAX, NonMaxUsize::get)));
        matched
    }
}

/// What is wrong, and where: characters count from 1.
fn at(text: &str, what: impl fmt::Display, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text).chars().count();
    format!("{what} at character {}", before + 1)
}

/// The parsers draw a picture over several lines; the last one is the reason.
fn invalid(error: impl fmt::Display) -> Unfit {
    let error = error.to_string();
    let reason = error.lines().next_back().unwrap_or_default();
    Unfit::Invalid(reason.trim_start_matches("error: ").to_owned())
}

fn unfit(error: &BuildError) -> Unfit {
    if error.size_limit().is_some() { Unfit::TooLarge } else { invalid(error) }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.text)
    }
}

#[cfg(test)]
mod tests;
