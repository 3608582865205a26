//! Reads an expression as `java.util.regex.Pattern` does.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::{
    class::{Escaped, LINE_ENDS, set},
    node::{Assertion, Fold, Kind, Node},
};
use crate::{Unfit, at};

/// Deepest nesting of groups and classes.
const MAX_DEPTH: usize = 50;
/// Most times that something is repeated.
const MAX_TIMES: u32 = 100_000;
/// For each byte of the text.
const BYTE: usize = 64;

/// What flags say at one place.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    /// `i`: case does not count; of ASCII alone, unless `u` says so.
    pub(super) any_case: bool,
    /// `u`
    pub(super) unicode_case: bool,
    /// `U`: `\w`, `\d` and the like are those of Unicode.
    pub(super) unicode: bool,
    /// `s`: `.` is every character.
    dot_all: bool,
    /// `m`: `^` and `$` are of lines.
    lines: bool,
    /// `d`: only `\n` ends a line.
    unix_lines: bool,
    /// `x`: blanks and comments count for nothing.
    pub(super) comments: bool,
}

/// An expression, read.
pub(super) struct Parsed {
    pub(super) node: Node,
    /// The names of its groups; the first is the whole match.
    pub(super) groups: Vec<Option<Box<str>>>,
}

/// Asks for memory before it is taken.
pub(super) type Spend<'s, E> = dyn FnMut(usize) -> Result<(), E> + 's;

pub(super) struct Parser<'p, E> {
    pub(super) text: &'p str,
    pub(super) at: usize,
    pub(super) flags: Flags,
    pub(super) spend: &'p mut Spend<'p, E>,
    groups: Vec<Option<Box<str>>>,
    /// The highest group that is referred to, and where.
    referred: (usize, usize),
    depth: usize,
}

/// Reads an expression. `spend` is asked for memory, in bytes, before it is taken.
pub(super) fn parse<'p, E: From<Unfit>>(
    text: &'p str,
    any_case: bool,
    spend: &'p mut Spend<'p, E>,
) -> Result<Parsed, E> {
    spend(text.len() * BYTE)?;
    let flags = Flags { any_case, ..Flags::default() };
    let mut parser = Parser { text, at: 0, flags, spend, groups: vec![None], referred: (0, 0), depth: 0 };
    let node = parser.alternatives()?;
    if parser.peek().is_some() {
        return Err(parser.error("`)` without `(`"));
    }
    if parser.referred.0 >= parser.groups.len() {
        parser.at = parser.referred.1;
        return Err(parser.error(format!("there is no group {}", parser.referred.0)));
    }
    Ok(Parsed { node, groups: parser.groups })
}

impl<E: From<Unfit>> Parser<'_, E> {
    /// What is wrong here.
    pub(super) fn error(&self, what: impl std::fmt::Display) -> E {
        Unfit::Invalid(at(self.text, what, self.at)).into()
    }

    pub(super) fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    pub(super) fn eat(&mut self, expect: &str) -> bool {
        let is_it = self.rest().starts_with(expect);
        self.at += if is_it { expect.len() } else { 0 };
        is_it
    }

    /// One level deeper.
    pub(super) fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(format!("more than {MAX_DEPTH} groups nest")));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// Passes over what counts for nothing with `x`.
    pub(super) fn skip(&mut self) {
        while self.flags.comments {
            match self.peek() {
                Some('\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | ' ') => self.at += 1,
                Some('#') => self.at += self.rest().find(LINE_ENDS).unwrap_or(self.rest().len()),
                _ => return,
            }
        }
    }

    fn alternatives(&mut self) -> Result<Node, E> {
        let mut alternatives = vec![self.sequence()?];
        while self.eat("|") {
            alternatives.push(self.sequence()?);
        }
        Ok(match alternatives.pop() {
            Some(only) if alternatives.is_empty() => only,
            last => {
                alternatives.extend(last);
                Node::Alternate(alternatives)
            }
        })
    }

    fn sequence(&mut self) -> Result<Node, E> {
        let mut nodes = Vec::new();
        loop {
            self.skip();
            match self.peek() {
                None | Some('|' | ')') => break,
                Some(_) => {}
            }
            if let Some(atom) = self.atom()? {
                nodes.push(self.repeated(atom)?);
            }
        }
        Ok(match nodes.pop() {
            None => Node::Empty,
            Some(only) if nodes.is_empty() => only,
            Some(last) => {
                nodes.push(last);
                Node::Concat(nodes)
            }
        })
    }

    /// `None`: flags, which are no part of it.
    fn atom(&mut self) -> Result<Option<Node>, E> {
        let begin = self.at;
        Ok(Some(match self.next() {
            Some('(') => return self.deeper(Self::group),
            Some('[') => Node::Class(self.deeper(Self::class)?),
            Some('.') => self.dot(),
            Some('^') if self.flags.lines => Node::Assertion(Assertion::LineStart),
            Some('^') => Node::Assertion(Assertion::Start),
            Some('$') if self.flags.lines => Node::Assertion(Assertion::LineEnd),
            Some('$') => Node::Assertion(Assertion::LastLine),
            Some('\\') => match self.escape(false)? {
                Escaped::Char(c) => self.literal(c)?,
                Escaped::Set(set) => Node::Class(self.folded(set)?),
                Escaped::Node(node) => node,
            },
            Some(c @ ('*' | '+' | '?' | '{')) => {
                self.at = begin;
                return Err(self.error(format!("`{c}` repeats nothing (a plain one is `\\{c}`)")));
            }
            Some(c) => self.literal(c)?,
            None => Node::Empty,
        }))
    }

    fn dot(&self) -> Node {
        match (self.flags.dot_all, self.flags.unix_lines) {
            (true, _) => {
                let mut all = ClassUnicode::empty();
                all.negate();
                Node::Class(all)
            }
            (false, true) => Node::Dot(set(&[('\n', '\n')])),
            (false, false) => Node::Dot(set(&LINE_ENDS.map(|c| (c, c)))),
        }
    }

    fn literal(&mut self, c: char) -> Result<Node, E> {
        let set = self.folded(set(&[(c, c)]))?;
        Ok(if set.ranges() == [ClassUnicodeRange::new(c, c)] { Node::Char(c) } else { Node::Class(set) })
    }

    fn repeated(&mut self, atom: Node) -> Result<Node, E> {
        self.skip();
        let (min, max) = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => {
                self.at += 1;
                let counts = self.counts()?;
                if !self.rest().starts_with('}') {
                    return Err(self.error("a counted repetition is written {n}, {n,} or {n,m}"));
                }
                counts
            }
            _ => return Ok(atom),
        };
        self.at += 1;
        let kind = match self.peek() {
            Some('?') => Kind::Lazy,
            Some('+') => Kind::Possessive,
            _ => Kind::Greedy,
        };
        self.at += usize::from(kind != Kind::Greedy);
        Ok(Node::Repeat { min, max, kind, of: Box::new(atom) })
    }

    fn counts(&mut self) -> Result<(u32, Option<u32>), E> {
        let number = |parser: &mut Self| {
            let digits = parser.rest().bytes().take_while(u8::is_ascii_digit).count();
            let number = parser.rest().get(..digits).and_then(|digits| digits.parse().ok());
            parser.at += digits;
            number.filter(|number| *number <= MAX_TIMES)
        };
        let wrong = format!("a repetition of {MAX_TIMES} times at most is written {{n}}, {{n,}} or {{n,m}}");
        let Some(min) = number(self) else { return Err(self.error(wrong)) };
        if !self.eat(",") {
            return Ok((min, Some(min)));
        }
        if self.rest().starts_with('}') {
            return Ok((min, None));
        }
        match number(self) {
            Some(max) if max >= min => Ok((min, Some(max))),
            _ => Err(self.error(wrong)),
        }
    }

    fn group(&mut self) -> Result<Option<Node>, E> {
        let flags = self.flags;
        let boxed = |parser: &mut Self| parser.closed().map(Box::new);
        let node = if !self.eat("?") {
            self.numbered(None)?
        } else if self.eat(":") {
            self.closed()?
        } else if self.eat("=") {
            Node::Ahead { negative: false, of: boxed(self)? }
        } else if self.eat("!") {
            Node::Ahead { negative: true, of: boxed(self)? }
        } else if self.eat("<=") {
            self.behind(false)?
        } else if self.eat("<!") {
            self.behind(true)?
        } else if self.eat(">") {
            Node::Atomic(boxed(self)?)
        } else if self.eat("<") || self.eat("P<") {
            let name = self.name('>')?;
            if self.groups.iter().flatten().any(|known| *known == name) {
                return Err(self.error(format!("two groups are called `{name}`")));
            }
            self.numbered(Some(name))?
        } else {
            self.set_flags()?;
            if self.eat(")") {
                // From here on, up to the end of the group that they stand in.
                return Ok(None);
            }
            if !self.eat(":") {
                return Err(self.error("no flag and no group that is known: flags are i d m s u x U"));
            }
            self.closed()?
        };
        self.flags = flags;
        Ok(Some(node))
    }

    /// The rest of a group, up to its `)`.
    fn closed(&mut self) -> Result<Node, E> {
        let node = self.alternatives()?;
        if self.eat(")") { Ok(node) } else { Err(self.error("`(` is never closed")) }
    }

    fn numbered(&mut self, name: Option<Box<str>>) -> Result<Node, E> {
        let number = self.groups.len();
        self.groups.push(name);
        Ok(Node::Group(number, Box::new(self.closed()?)))
    }

    fn behind(&mut self, negative: bool) -> Result<Node, E> {
        let of = Box::new(self.closed()?);
        match of.width() {
            (min, Some(max)) if max <= MAX_TIMES as usize => Ok(Node::Behind { negative, min, max, of }),
            _ => Err(self.error("what is looked for behind has no greatest length, which Java asks for")),
        }
    }

    /// The name of a group, and what is behind it.
    pub(super) fn name(&mut self, end: char) -> Result<Box<str>, E> {
        let length = self.rest().find(end).unwrap_or_default();
        let name = self.rest().get(..length).unwrap_or_default();
        let is_name =
            name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(|b| b.is_ascii_alphanumeric());
        if !is_name {
            return Err(self.error("the name of a group has ASCII letters and digits only, a letter first"));
        }
        let name = Box::from(name);
        self.at += length + end.len_utf8();
        Ok(name)
    }

    fn set_flags(&mut self) -> Result<(), E> {
        let mut on = true;
        loop {
            let flag = match self.peek() {
                Some('i') => &mut self.flags.any_case,
                Some('m') => &mut self.flags.lines,
                Some('s') => &mut self.flags.dot_all,
                Some('d') => &mut self.flags.unix_lines,
                Some('u') => &mut self.flags.unicode_case,
                Some('x') => &mut self.flags.comments,
                Some('U') => &mut self.flags.unicode,
                Some('-') if on => {
                    on = false;
                    self.at += 1;
                    continue;
                }
                _ => return Ok(()),
            };
            *flag = on;
            // As in Java, `U` brings `u` along.
            self.flags.unicode_case |= on && self.flags.unicode;
            self.at += 1;
        }
    }

    /// `\1`: as many digits as name a group that has begun.
    pub(super) fn numbered_reference(&mut self) -> Node {
        let begin = self.at;
        let mut number = 0;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
            let longer = number * 10 + digit as usize;
            if number > 0 && longer >= self.groups.len() {
                break;
            }
            number = longer;
            self.at += 1;
        }
        self.reference(number, begin)
    }

    /// `\k<name>`
    pub(super) fn named_reference(&mut self) -> Result<Node, E> {
        let begin = self.at;
        if !self.eat("<") {
            return Err(self.error("expected <name> behind \\k"));
        }
        let name = self.name('>')?;
        match self.groups.iter().position(|known| known.as_ref() == Some(&name)) {
            Some(number) => Ok(self.reference(number, begin)),
            None => Err(self.error(format!("no group before it is called `{name}`"))),
        }
    }

    fn reference(&mut self, number: usize, at: usize) -> Node {
        self.referred = self.referred.max((number, at));
        let fold = match (self.flags.any_case, self.flags.unicode_case) {
            (false, _) => Fold::Exact,
            (true, false) => Fold::Ascii,
            (true, true) => Fold::Unicode,
        };
        Node::Reference(number, fold)
    }
}
