//! Java's regular expressions: what routes are written in.
//!
//! They mean what `java.util.regex` makes of them. What a linear search can do is done by one; only an expression with
//! look-around, back-references, atomic groups or possessive repetitions is matched by going back, step by step and on an
//! [account](Steps): an expression that keeps requests out must neither take long nor be passed over, whatever it is shown.

mod class;
mod machine;
mod node;
mod parse;
mod program;
mod steps;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, cell::RefCell, fmt, sync::Arc};

use gray_document::Compile;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_syntax::hir::{Hir, Look};

use self::{machine::NOWHERE, parse::Parsed, program::Program};
use crate::{Compiled, MAX_GROUPS, MAX_TEXT, SELF, Unfit};

pub use self::steps::{StepLimit, Steps};

thread_local! {
    /// Room for the positions that a search notes.
    static SLOTS: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// How a Java expression is to be matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JavaForm {
    /// It has to cover the whole text, as `Matcher.matches` has it.
    Whole,
    /// Likewise, in upper and lower case.
    WholeAnyCase,
    /// It is searched for, and its groups are asked for.
    Within,
}

/// A compiled Java expression; a clone is the same one.
#[derive(Clone)]
pub struct JavaExpression(Arc<Java>);

struct Java {
    text: Box<str>,
    engine: Engine,
    is_whole: bool,
    /// The names of the groups; the first is the whole match.
    groups: Box<[Option<Box<str>>]>,
    bytes: usize,
}

enum Engine {
    Linear(Compiled),
    Stepwise(Program),
}

impl Compile for JavaForm {
    type Expression = JavaExpression;
    type Unfit = Unfit;
    const KIND: &'static str = "regular expressions";

    fn compile<E: From<Unfit>>(
        self,
        text: &str,
        spend: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<JavaExpression, E> {
        JavaExpression::new(text, self, spend)
    }
}

impl JavaExpression {
    /// Compiles it. `spend` is asked for memory, in bytes, before it is taken.
    ///
    /// # Errors
    /// Why it cannot be used, or what `spend` said.
    pub fn new<E: From<Unfit>>(
        text: &str,
        form: JavaForm,
        mut spend: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<Self, E> {
        if text.len() > MAX_TEXT {
            return Err(Unfit::TooLong.into());
        }
        let plain = unquoted(text);
        let Parsed { node, groups } = parse::parse(&plain, form == JavaForm::WholeAnyCase, &mut spend)?;
        let is_whole = form != JavaForm::Within;
        if !is_whole && groups.len() > MAX_GROUPS + 1 {
            return Err(Unfit::TooManyGroups.into());
        }
        let engine = match node.hir() {
            Some(hir) if is_whole => {
                let hir = Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]);
                Engine::Linear(Compiled::new(&hir, WhichCaptures::Implicit, true, &mut spend)?)
            }
            Some(hir) => Engine::Linear(Compiled::new(&hir, WhichCaptures::All, true, &mut spend)?),
            None => {
                let program = Program::new(&node, groups.len())?;
                spend(SELF + program.bytes())?;
                Engine::Stepwise(program)
            }
        };
        let bytes = match &engine {
            Engine::Linear(compiled) => compiled.bytes,
            Engine::Stepwise(program) => SELF + program.bytes(),
        };
        Ok(Self(Arc::new(Java { text: text.into(), engine, is_whole, groups: groups.into(), bytes })))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// What it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.0.bytes
    }

    /// Whether a search takes no more time than the text is long.
    pub fn is_linear(&self) -> bool {
        matches!(self.0.engine, Engine::Linear(_))
    }

    /// Whether it matches.
    ///
    /// # Errors
    /// It is not known, because that would take more steps than are left.
    pub fn is_match(&self, text: &str, steps: &Steps) -> Result<bool, StepLimit> {
        match &self.0.engine {
            Engine::Linear(compiled) => Ok(compiled.is_match(text.as_bytes())),
            Engine::Stepwise(_) => {
                let mut slots = SLOTS.take();
                let found = self.find(text, 0, &mut slots, steps);
                SLOTS.set(slots);
                found
            }
        }
    }

    /// How many groups it has, the whole match included.
    pub fn groups(&self) -> usize {
        self.0.groups.len()
    }

    /// The number of the group of this name.
    pub fn group(&self, name: &str) -> Option<usize> {
        self.0.groups.iter().position(|known| known.as_deref() == Some(name))
    }

    /// The text with every match replaced by what `write` writes for it, as Java's `replaceAll` has it: what is empty behind a
    /// match is a match as well.
    ///
    /// # Errors
    /// It is not known, because that would take more steps than are left.
    pub fn replace_all<'t>(
        &self,
        text: &'t str,
        steps: &Steps,
        mut write: impl FnMut(&Groups<'_>, &mut String),
    ) -> Result<Cow<'t, str>, StepLimit> {
        let (mut out, mut slots) = (None::<String>, Vec::new());
        let (mut copied, mut from) = (0, 0);
        while from <= text.len() && self.find(text, from, &mut slots, steps)? {
            let &[start, end, ..] = &*slots else { break };
            let out = out.get_or_insert_default();
            out.push_str(text.get(copied..start).unwrap_or_default());
            write(&Groups { slots: &slots, text }, out);
            copied = end;
            let next = text.get(end..).and_then(|rest| rest.chars().next());
            from = if end > start { end } else { end + next.map_or(1, char::len_utf8) };
        }
        let Some(mut out) = out else { return Ok(Cow::Borrowed(text)) };
        out.push_str(text.get(copied..).unwrap_or_default());
        Ok(Cow::Owned(out))
    }

    /// The first match from there on; its groups are noted, two positions each.
    fn find(&self, text: &str, from: usize, slots: &mut Vec<usize>, steps: &Steps) -> Result<bool, StepLimit> {
        let program = match &self.0.engine {
            Engine::Linear(compiled) => return Ok(compiled.find(text, from, slots)),
            Engine::Stepwise(program) => program,
        };
        let mut start = from;
        loop {
            if let Some(end) = machine::matches(program, text, start, self.0.is_whole, slots, steps)? {
                if let [first, second, ..] = &mut **slots {
                    (*first, *second) = (start, end);
                }
                return Ok(true);
            }
            let Some(next) = text.get(start..).and_then(|rest| rest.chars().next()).filter(|_| !self.0.is_whole) else {
                return Ok(false);
            };
            start += next.len_utf8();
        }
    }
}

/// `\Q...\E` written out, as Java does it first of all.
fn unquoted(text: &str) -> Cow<'_, str> {
    let mut rest = text;
    let mut plain = String::new();
    loop {
        // Not a backslash that is escaped itself.
        let (mut begin, mut chars) = (None, rest.char_indices());
        while let Some((at, c)) = chars.next() {
            if c == '\\' && chars.next().is_some_and(|(_, next)| next == 'Q') {
                begin = Some(at);
                break;
            }
        }
        let Some(begin) = begin else { break };
        let (before, behind) = (rest.get(..begin).unwrap_or_default(), rest.get(begin + 2..).unwrap_or_default());
        let (quoted, after) = behind.split_once("\\E").unwrap_or((behind, ""));
        plain.push_str(before);
        for c in quoted.chars() {
            match c {
                c if c.is_ascii_digit() => plain.push_str(&format!("\\x{:02x}", c as u32)),
                c if c.is_ascii() && !c.is_ascii_alphabetic() => plain.extend(['\\', c]),
                c => plain.push(c),
            }
        }
        rest = after;
    }
    if plain.is_empty() && rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(plain + rest)
}

/// The groups of a match.
#[derive(Debug)]
pub struct Groups<'g> {
    slots: &'g [usize],
    text: &'g str,
}

impl<'g> Groups<'g> {
    /// What the group matched; 0 is the whole.
    pub fn get(&self, group: usize) -> Option<&'g str> {
        let (start, end) = (*self.slots.get(2 * group)?, *self.slots.get(2 * group + 1)?);
        if start == NOWHERE || end == NOWHERE { None } else { self.text.get(start..end) }
    }
}

impl fmt::Display for JavaExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for JavaExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JavaExpression({:?})", self.0.text)
    }
}
