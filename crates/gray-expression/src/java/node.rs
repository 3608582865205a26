//! A Java expression, taken apart.

use regex_syntax::hir::{Capture, Class, ClassUnicode, ClassUnicodeRange, Hir, Look, Repetition};

/// A part of an expression. Flags are worked into it where it is read.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Empty,
    Char(char),
    Class(ClassUnicode),
    /// `.` without the flag `s`: all but these.
    Dot(ClassUnicode),
    Assertion(Assertion),
    Concat(Vec<Self>),
    /// The first that leads to a match.
    Alternate(Vec<Self>),
    Repeat {
        min: u32,
        max: Option<u32>,
        kind: Kind,
        of: Box<Self>,
    },
    /// A group that is asked for, by its number.
    Group(usize, Box<Self>),
    /// `(?=...)`, `(?!...)`
    Ahead {
        negative: bool,
        of: Box<Self>,
    },
    /// `(?<=...)`, `(?<!...)`: of so many characters.
    Behind {
        negative: bool,
        min: usize,
        max: usize,
        of: Box<Self>,
    },
    /// `(?>...)`
    Atomic(Box<Self>),
    /// What a group has matched.
    Reference(usize, Fold),
}

/// How often something is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Greedy,
    Lazy,
    Possessive,
}

/// Which characters are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    Exact,
    Ascii,
    Unicode,
}

/// What holds at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Assertion {
    Start,
    /// The very end.
    End,
    /// The end, or the line terminator there.
    LastLine,
    LineStart,
    LineEnd,
    Word {
        negative: bool,
        unicode: bool,
    },
}

impl Node {
    /// The same for the linear engine; `None` when it needs to go back.
    pub(super) fn hir(&self) -> Option<Hir> {
        let all = |nodes: &[Self]| nodes.iter().map(Self::hir).collect::<Option<Vec<_>>>();
        Some(match self {
            Self::Empty => Hir::empty(),
            Self::Char(c) => Hir::literal(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Self::Class(set) => Hir::class(Class::Unicode(set.clone())),
            // The terminators beyond ASCII would make automata of it twice as large; they are left to the other engine.
            Self::Dot(terminators) => {
                let mut set = ClassUnicode::new([ClassUnicodeRange::new('\0', '\x7f')]);
                set.intersect(terminators);
                set.negate();
                Hir::class(Class::Unicode(set))
            }
            Self::Assertion(assertion) => Hir::look(assertion.look()?),
            Self::Concat(nodes) => Hir::concat(all(nodes)?),
            Self::Alternate(nodes) => Hir::alternation(all(nodes)?),
            Self::Repeat { kind: Kind::Possessive, .. } => return None,
            Self::Repeat { min, max, kind, of } => Hir::repetition(Repetition {
                min: *min,
                max: *max,
                greedy: *kind == Kind::Greedy,
                sub: Box::new(of.hir()?),
            }),
            Self::Group(index, of) => {
                Hir::capture(Capture { index: u32::try_from(*index).ok()?, name: None, sub: Box::new(of.hir()?) })
            }
            Self::Ahead { .. } | Self::Behind { .. } | Self::Atomic(_) | Self::Reference(..) => return None,
        })
    }

    /// The fewest and the most characters that it matches; `None`: there is no most.
    pub(super) fn width(&self) -> (usize, Option<usize>) {
        let sum = |(a, b): (usize, Option<usize>), (c, d): (usize, Option<usize>)| {
            (a.saturating_add(c), b.zip(d).map(|(b, d)| b.saturating_add(d)))
        };
        match self {
            Self::Empty | Self::Assertion(_) | Self::Ahead { .. } | Self::Behind { .. } => (0, Some(0)),
            Self::Char(_) | Self::Class(_) | Self::Dot(_) => (1, Some(1)),
            Self::Concat(nodes) => nodes.iter().map(Self::width).fold((0, Some(0)), sum),
            Self::Alternate(nodes) => {
                let widths = nodes.iter().map(Self::width);
                let both = |(a, b): (usize, Option<usize>), (c, d): (usize, Option<usize>)| {
                    (a.min(c), b.zip(d).map(|(b, d)| b.max(d)))
                };
                widths.reduce(both).unwrap_or((0, Some(0)))
            }
            Self::Repeat { min, max, of, .. } => {
                let (least, most) = of.width();
                let times = |width: usize, count: u32| width.saturating_mul(count as usize);
                let most = match (most, max) {
                    (Some(0), _) => Some(0),
                    (Some(most), Some(max)) => Some(times(most, *max)),
                    _ => None,
                };
                (times(least, *min), most)
            }
            Self::Group(_, of) | Self::Atomic(of) => of.width(),
            Self::Reference(..) => (0, None),
        }
    }
}

impl Assertion {
    /// The linear engine knows no line terminator at the end of the text, and of lines within it `\n` alone: what is of lines is
    /// left to the other one.
    fn look(self) -> Option<Look> {
        Some(match self {
            Self::Start => Look::Start,
            Self::End | Self::LastLine => Look::End,
            Self::LineStart | Self::LineEnd => return None,
            Self::Word { negative: false, unicode: false } => Look::WordAscii,
            Self::Word { negative: true, unicode: false } => Look::WordAsciiNegate,
            Self::Word { negative: false, unicode: true } => Look::WordUnicode,
            Self::Word { negative: true, unicode: true } => Look::WordUnicodeNegate,
        })
    }
}
