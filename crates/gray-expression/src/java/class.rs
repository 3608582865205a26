//! Sets of characters: `[...]`, and escapes inside of them and outside.

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

use super::{
    node::{Assertion, Node},
    parse::Parser,
};
use crate::Unfit;

/// For `\p{...}` and the like: their ranges.
const CLASS: usize = 4 << 10;

/// What ends a line, but for `\r\n`.
pub(super) const LINE_ENDS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];

const DIGIT: &[(char, char)] = &[('0', '9')];
const WORD: &[(char, char)] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];
const SPACE: &[(char, char)] = &[('\t', '\r'), (' ', ' ')];
const BLANK: &[(char, char)] = &[
    ('\t', '\t'),
    (' ', ' '),
    ('\u{a0}', '\u{a0}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{2000}', '\u{200a}'),
    ('\u{202f}', '\u{202f}'),
    ('\u{205f}', '\u{205f}'),
    ('\u{3000}', '\u{3000}'),
];
const VERTICAL: &[(char, char)] = &[('\n', '\r'), ('\u{85}', '\u{85}'), ('\u{2028}', '\u{2029}')];

/// What a name of Java stands for: with the flag `U`, and without.
type Named = (&'static str, &'static [(char, char)], Option<&'static str>);

/// `\p{Alpha}` and the like: of ASCII, unless the flag `U` says Unicode.
const POSIX: [Named; 13] = [
    ("Lower", &[('a', 'z')], Some(r"\p{Lowercase}")),
    ("Upper", &[('A', 'Z')], Some(r"\p{Uppercase}")),
    ("ASCII", &[('\0', '\x7f')], Some(r"[\x00-\x7f]")),
    ("Alpha", &[('A', 'Z'), ('a', 'z')], Some(r"\p{Alphabetic}")),
    ("Digit", DIGIT, Some(r"\p{Nd}")),
    ("Alnum", &[('0', '9'), ('A', 'Z'), ('a', 'z')], Some(r"[\p{Alphabetic}\p{Nd}]")),
    ("Punct", &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')], Some(r"\p{P}")),
    ("Graph", &[('!', '~')], Some(r"[^\p{White_Space}\p{Cc}\p{Cs}\p{Cn}]")),
    ("Print", &[(' ', '~')], Some(r"[[^\p{White_Space}\p{Cs}\p{Cn}]\p{Zs}&&[^\p{Cc}]]")),
    ("Blank", &[('\t', '\t'), (' ', ' ')], Some(r"[\p{Zs}\t]")),
    ("Cntrl", &[('\0', '\x1f'), ('\x7f', '\x7f')], Some(r"\p{Cc}")),
    ("XDigit", &[('0', '9'), ('A', 'F'), ('a', 'f')], Some(r"[\p{Nd}\p{Hex_Digit}]")),
    ("Space", SPACE, Some(r"\p{White_Space}")),
];

/// `\p{javaLetter}` and the like.
const JAVA: [(&str, &str); 8] = [
    ("javaLowerCase", r"\p{Lowercase}"),
    ("javaUpperCase", r"\p{Uppercase}"),
    ("javaAlphabetic", r"\p{Alphabetic}"),
    ("javaDigit", r"\p{Nd}"),
    ("javaLetter", r"\p{L}"),
    ("javaLetterOrDigit", r"[\p{L}\p{Nd}]"),
    ("javaWhitespace", r"[[\p{Z}\t-\r\x1c-\x1f]--[\xa0\u2007\u202f]]"),
    ("javaISOControl", r"\p{Cc}"),
];

pub(super) enum Escaped {
    Char(char),
    Set(ClassUnicode),
    Node(Node),
}

/// These ranges.
pub(super) fn set(ranges: &[(char, char)]) -> ClassUnicode {
    ClassUnicode::new(ranges.iter().map(|(first, last)| ClassUnicodeRange::new(*first, *last)))
}

/// A set as regex-syntax writes it.
fn named(text: &str) -> Option<ClassUnicode> {
    match regex_syntax::parse(text).ok()?.into_kind() {
        HirKind::Class(Class::Unicode(set)) => Some(set),
        HirKind::Literal(literal) => {
            let mut chars = std::str::from_utf8(&literal.0).ok()?.chars();
            let c = chars.next()?;
            chars.next().is_none().then(|| set(&[(c, c)]))
        }
        _ => None,
    }
}

impl<E: From<Unfit>> Parser<'_, E> {
    /// The set with what differs by case alone, if case does not count.
    pub(super) fn folded(&mut self, mut set: ClassUnicode) -> Result<ClassUnicode, E> {
        if self.flags.any_case && self.flags.unicode_case {
            let count = |range: &ClassUnicodeRange| u32::from(range.end()) - u32::from(range.start()) + 1;
            let characters: u32 = set.ranges().iter().map(count).sum();
            (self.spend)(characters as usize / 2)?;
            set.case_fold_simple();
        } else if self.flags.any_case {
            let mut others = ClassUnicode::empty();
            for range in set.ranges() {
                for (from, to, by) in [('a', 'z', 'A'), ('A', 'Z', 'a')] {
                    let (first, last) = (range.start().max(from), range.end().min(to));
                    let other = |c: char| char::from(c as u8 - from as u8 + by as u8);
                    if first <= last {
                        others.push(ClassUnicodeRange::new(other(first), other(last)));
                    }
                }
            }
            set.union(&others);
        }
        Ok(set)
    }

    /// A class, behind its `[`.
    pub(super) fn class(&mut self) -> Result<ClassUnicode, E> {
        (self.spend)(256)?;
        let negated = self.eat("^");
        let (mut left, mut current, mut is_empty) = (None::<ClassUnicode>, ClassUnicode::empty(), true);
        loop {
            self.skip();
            if self.rest().starts_with("&&") {
                if is_empty {
                    return Err(self.error("`&&` has nothing on its left"));
                }
                self.at += self.rest().bytes().take_while(|byte| *byte == b'&').count();
                (left, current, is_empty) = (
                    Some(intersection(left, std::mem::replace(&mut current, ClassUnicode::empty()))),
                    ClassUnicode::empty(),
                    true,
                );
                continue;
            }
            match self.peek() {
                None => return Err(self.error("`[` is never closed")),
                Some(']') if !is_empty => {
                    self.at += 1;
                    break;
                }
                // Java takes the first one for itself, which is a slip behind `&&`.
                Some(']') if left.is_some() => return Err(self.error("`&&` has nothing on its right")),
                Some('[') => {
                    self.at += 1;
                    let nested = self.deeper(Self::class)?;
                    current.union(&nested);
                }
                Some(_) => current.union(&self.item()?),
            }
            is_empty = false;
        }
        let mut class = intersection(left, current);
        if negated {
            class.negate();
        }
        Ok(class)
    }

    /// A character, a range, or what an escape stands for.
    fn item(&mut self) -> Result<ClassUnicode, E> {
        let first = match self.character()? {
            Escaped::Char(first) => first,
            Escaped::Set(set) => return self.folded(set),
            Escaped::Node(_) => return Err(self.error("this escape is not a set of characters")),
        };
        let mut after = self.rest().chars();
        let is_range = after.next() == Some('-') && !matches!(after.next(), None | Some(']' | '['));
        if !is_range {
            return self.folded(set(&[(first, first)]));
        }
        self.at += 1;
        match self.character()? {
            Escaped::Char(last) if last >= first => self.folded(set(&[(first, last)])),
            _ => Err(self.error("a range of characters goes from the lower one to the higher one")),
        }
    }

    fn character(&mut self) -> Result<Escaped, E> {
        match self.next() {
            Some('\\') => self.escape(true),
            Some(c) => Ok(Escaped::Char(c)),
            None => Err(self.error("`[` is never closed")),
        }
    }

    /// An escape, behind its `\`.
    pub(super) fn escape(&mut self, in_class: bool) -> Result<Escaped, E> {
        let begin = self.at;
        let Some(c) = self.next() else { return Err(self.error("ends in a backslash")) };
        let word = |negative| Assertion::Word { negative, unicode: self.flags.unicode };
        let node = match c {
            'b' => Some(Node::Assertion(word(false))),
            'B' => Some(Node::Assertion(word(true))),
            'A' => Some(Node::Assertion(Assertion::Start)),
            'z' => Some(Node::Assertion(Assertion::End)),
            'Z' => Some(Node::Assertion(Assertion::LastLine)),
            'R' => Some(Node::Alternate(vec![
                Node::Concat(vec![Node::Char('\r'), Node::Char('\n')]),
                Node::Class(set(VERTICAL)),
            ])),
            _ => None,
        };
        if let Some(node) = node.filter(|_| !in_class) {
            if c == 'b' && self.rest().starts_with('{') {
                return Err(self.error("`\\b{g}` is not supported"));
            }
            return Ok(Escaped::Node(node));
        }
        Ok(match c {
            'd' | 'D' => Escaped::Set(self.predefined(c == 'D', DIGIT, Some(r"\p{Nd}"))?),
            'w' | 'W' => Escaped::Set(self.predefined(c == 'W', WORD, Some(r"\w"))?),
            's' | 'S' => Escaped::Set(self.predefined(c == 'S', SPACE, Some(r"\s"))?),
            'h' | 'H' => Escaped::Set(self.predefined(c == 'H', BLANK, None)?),
            'v' | 'V' => Escaped::Set(self.predefined(c == 'V', VERTICAL, None)?),
            'p' | 'P' => Escaped::Set(self.property(c == 'P')?),
            't' => Escaped::Char('\t'),
            'n' => Escaped::Char('\n'),
            'r' => Escaped::Char('\r'),
            'f' => Escaped::Char('\u{c}'),
            'a' => Escaped::Char('\u{7}'),
            'e' => Escaped::Char('\u{1b}'),
            'x' if self.eat("{") => {
                let length = self.rest().find('}').unwrap_or_default();
                let c = self.code(length, 16)?;
                self.at += 1;
                Escaped::Char(c)
            }
            'x' => Escaped::Char(self.code(2, 16)?),
            'u' => Escaped::Char(self.code_unit()?),
            '0' => {
                let is_octal = |byte: &u8| (b'0'..=b'7').contains(byte);
                let digits = self.rest().bytes().take(3).take_while(is_octal).count();
                let first_is_low = self.rest().as_bytes().first().is_some_and(|byte| *byte <= b'3');
                Escaped::Char(self.code(if first_is_low { digits } else { digits.min(2) }, 8)?)
            }
            'c' => match self.next() {
                Some(c) if c.is_ascii() => Escaped::Char(char::from(c as u8 ^ 64)),
                _ => return Err(self.error("expected a character of ASCII behind \\c")),
            },
            'k' if !in_class => Escaped::Node(self.named_reference()?),
            '1'..='9' if !in_class => {
                self.at = begin;
                Escaped::Node(self.numbered_reference())
            }
            c if c.is_ascii_alphanumeric() => {
                self.at = begin - 1;
                return Err(self.error(format!("`\\{c}` is not an escape that can be used here")));
            }
            c => Escaped::Char(c),
        })
    }

    fn predefined(&mut self, negated: bool, ascii: &[(char, char)], unicode: Option<&str>) -> Result<ClassUnicode, E> {
        (self.spend)(if self.flags.unicode { CLASS } else { 64 })?;
        let mut set = match unicode.filter(|_| self.flags.unicode) {
            Some(unicode) => named(unicode).ok_or_else(|| self.error("this set is not known"))?,
            None => set(ascii),
        };
        if negated {
            set.negate();
        }
        Ok(set)
    }

    /// `\p{...}`, behind its `p`.
    fn property(&mut self, negated: bool) -> Result<ClassUnicode, E> {
        let begin = self.at;
        let name = if self.eat("{") {
            let length = self.rest().find('}').unwrap_or_default();
            let name = self.rest().get(..length).unwrap_or_default().to_owned();
            self.at += length + 1;
            name
        } else {
            self.next().map(String::from).unwrap_or_default()
        };
        (self.spend)(CLASS)?;
        if let Some((_, ascii, unicode)) = POSIX.iter().find(|(known, ..)| *known == name) {
            return self.predefined(negated, ascii, *unicode);
        }
        let is_plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let found = match name.split_once('=') {
            Some((key, value)) if is_plain(value) => match &*key.to_ascii_lowercase() {
                "sc" | "script" => named(&format!(r"\p{{sc={value}}}")),
                "gc" | "general_category" => named(&format!(r"\p{{gc={value}}}")),
                _ => None,
            },
            Some(_) => None,
            None => match (JAVA.iter().find(|(known, _)| *known == name), name.strip_prefix("Is"), &*name) {
                (Some((_, text)), ..) => named(text),
                (_, Some(property), _) if is_plain(property) => named(&format!(r"\p{{{property}}}")),
                (.., "L1") => Some(set(&[('\0', '\u{ff}')])),
                (.., "all") => named(r"[\x00-\x{10ffff}]"),
                (.., "LD") => named(r"[\p{L}\p{Nd}]"),
                (.., "LC") => named(r"[\p{Lu}\p{Ll}\p{Lt}]"),
                // A category: one letter or two.
                (.., category) if category.len() <= 2 && is_plain(category) => named(&format!(r"\p{{gc={category}}}")),
                _ => None,
            },
        };
        let Some(mut found) = found else {
            self.at = begin;
            return Err(self.error(format!(
                "`\\p{{{}}}` is not a set that is known: expected a category (Lu), IsLatin, IsAlphabetic, Alpha, javaLetter \
                 and the like",
                name.chars().take(40).collect::<String>()
            )));
        };
        if negated {
            found.negate();
        }
        Ok(found)
    }

    /// So many digits, as a character.
    fn code(&mut self, digits: usize, radix: u32) -> Result<char, E> {
        let digits = self.rest().get(..digits).filter(|text| text.bytes().all(|b| b.is_ascii_alphanumeric()));
        let code = digits.and_then(|digits| Some((digits.len(), u32::from_str_radix(digits, radix).ok()?)));
        match code.and_then(|(length, code)| Some((length, char::from_u32(code)?))) {
            Some((length, c)) => {
                self.at += length;
                Ok(c)
            }
            None => Err(self.error("expected the number of a character: \\xhh, \\x{h...h}, \\uhhhh, \\0n")),
        }
    }

    /// `\uhhhh`, behind its `u`; two of them for a character beyond 16 bits.
    fn code_unit(&mut self) -> Result<char, E> {
        let unit = |text: &str| u32::from_str_radix(text.get(..4)?, 16).ok();
        let high = unit(self.rest()).filter(|unit| (0xd800..0xdc00).contains(unit));
        let low = self.rest().get(4..).and_then(|rest| rest.strip_prefix("\\u")).and_then(unit);
        if let (Some(high), Some(low @ 0xdc00..0xe000)) = (high, low)
            && let Some(c) = char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
        {
            self.at += 10;
            return Ok(c);
        }
        self.code(4, 16)
    }
}

fn intersection(left: Option<ClassUnicode>, right: ClassUnicode) -> ClassUnicode {
    match left {
        Some(mut left) => {
            left.intersect(&right);
            left
        }
        None => right,
    }
}
