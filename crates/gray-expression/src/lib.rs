//! Regular expressions of documents: linear in the text, and bounded in what they take, compiled and while they search.
//!
//! It is compiled in one of the [forms](Form) that documents know, on their account
//! ([`Budget::expression`](gray_document::Budget::expression)). Never depends on what expressions are for: rules, routes.
//!
//! What a search needs besides the expression itself (states of the lazily built automaton, above all) is kept by each
//! thread for all its expressions together (`search`), so that it does not grow with their number.

mod charge;
mod effort;
mod search;

use std::{
    borrow::Cow,
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
    util::{captures::Captures, iter::Searcher},
};
use regex_syntax::{
    ast,
    hir::{Hir, Look, translate::TranslatorBuilder},
};

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
    /// It has to cover the whole text.
    WholeText,
    /// Likewise, in upper and lower case.
    WholeTextAnyCase,
    /// It is searched for, and its groups are asked for.
    Within,
}

/// An expression that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// Not an expression, or one that needs what no linear search has.
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
pub struct Expression(Arc<Compiled>);

struct Compiled {
    /// Tells expressions apart where what they need for a search is kept.
    id: u64,
    text: Box<str>,
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
        spend(effort::of(&ast, text, form == Form::WholeTextAnyCase))?;
        let mut translator = TranslatorBuilder::new();
        translator.utf8(form != Form::WholeBytes).case_insensitive(form == Form::WholeTextAnyCase);
        let hir = translator.build().translate(text, &ast);
        let hir = hir.map_err(|error| Unfit::Invalid(at(text, error.kind(), error.span().start.offset)))?;
        let groups = hir.properties().explicit_captures_len();
        let (hir, captures) = match form {
            Form::Within if groups > MAX_GROUPS => return Err(Unfit::TooManyGroups.into()),
            Form::Within => (hir, WhichCaptures::All),
            _ => (Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]), WhichCaptures::Implicit),
        };
        let config = Regex::config()
            .nfa_size_limit(Some(MAX_COMPILED))
            .onepass_size_limit(Some(AUTOMATON))
            .hybrid_cache_capacity(AUTOMATON)
            .utf8_empty(form != Form::WholeBytes)
            .which_captures(captures);
        let regex = match Regex::builder().configure(config).build_from_hir(&hir) {
            Ok(regex) => regex,
            Err(error) => {
                // It took the time of the largest.
                spend(MAX_COMPILED)?;
                return Err(unfit(&error).into());
            }
        };
        // Where groups are asked for, a search notes them for every state.
        let bytes = SELF + regex.memory_usage() * if form == Form::Within { 1 + groups } else { 1 };
        spend(bytes)?;
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Ok(Self(Arc::new(Compiled { id: NEXT.fetch_add(1, Relaxed), text: text.into(), regex, bytes })))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// What it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.0.bytes
    }

    /// Whether it matches.
    pub fn is_match(&self, text: impl AsRef<[u8]>) -> bool {
        let input = Input::new(text.as_ref()).earliest(true);
        search::with(self.0.id, &self.0.regex, |cache| self.0.regex.search_half_with(cache, &input).is_some())
    }

    /// How many groups it has, the whole match included.
    pub fn groups(&self) -> usize {
        self.0.regex.captures_len()
    }

    /// The number of the group of this name.
    pub fn group(&self, name: &str) -> Option<usize> {
        self.0.regex.group_info().to_index(regex_automata::PatternID::ZERO, name)
    }

    /// The text with every match replaced by what `write` writes for it, as Java's `replaceAll` has it.
    pub fn replace_all<'t>(&self, text: &'t str, mut write: impl FnMut(&Groups<'_>, &mut String)) -> Cow<'t, str> {
        let regex = &self.0.regex;
        search::with(self.0.id, regex, |cache| {
            let mut captures = regex.create_captures();
            let mut searcher = Searcher::new(Input::new(text));
            let (mut out, mut end) = (String::new(), None);
            while let Some(found) = searcher.advance(|input| {
                regex.search_captures_with(cache, input, &mut captures);
                Ok(captures.get_match())
            }) {
                out.push_str(text.get(end.unwrap_or(0)..found.start()).unwrap_or_default());
                write(&Groups { captures: &captures, text }, &mut out);
                end = Some(found.end());
            }
            let Some(end) = end else { return Cow::Borrowed(text) };
            out.push_str(text.get(end..).unwrap_or_default());
            Cow::Owned(out)
        })
    }
}

/// The groups of a match.
#[derive(Debug)]
pub struct Groups<'g> {
    captures: &'g Captures,
    text: &'g str,
}

impl<'g> Groups<'g> {
    /// What the group matched; 0 is the whole.
    pub fn get(&self, group: usize) -> Option<&'g str> {
        self.text.get(self.captures.get_group(group)?.range())
    }
}

/// The parsers draw a picture over several lines; the last one is the reason.
/// What is wrong, and where: characters count from 1.
fn at(text: &str, what: impl fmt::Display, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text).chars().count();
    format!("{what} at character {}", before + 1)
}

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
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.0.text)
    }
}

#[cfg(test)]
mod tests;
