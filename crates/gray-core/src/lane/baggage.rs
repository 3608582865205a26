//! The lane as a member of W3C Baggage, for services that know nothing of gray releases but pass baggage on.
//!
//! ```text
//! baggage: gray-lane=GRAY%3B-%3B8f3a11c0%3Bv2%3B-%3Border-app%3Dversion%3AV2%3B%2A%3Dversion%3AV1,theirs=1
//!          key       tag ; signature or - ; lane, as in the header gray-lane
//! ```
//!
//! Every byte but letters, digits and `- . _ ~` is percent-encoded, so that the member has the same length after every
//! library that decodes and encodes it anew. It has no properties: some libraries take those for a part of the value.
//!
//! All members stand in one line, ours first: many libraries read the first line only, and drop the end of a long one.

use std::iter;

use crate::tag::GrayStatus;

/// Key of our member.
pub const MEMBER_KEY: &str = "gray-lane";
/// Longest member of ours that is written, in bytes: libraries drop longer ones.
pub const MAX_MEMBER_BYTES: usize = 4096;
/// Most members of one request (W3C Baggage, 3.3.2), ours among them.
pub const MAX_MEMBERS: usize = 64;
/// Longest baggage of one request, in bytes (W3C Baggage, 3.3.2), ours among it.
pub const MAX_BAGGAGE_BYTES: usize = 8192;

/// Stands for a signature where there is none.
const UNSIGNED: &[u8] = b"-";

/// Appends our member; appends nothing and returns false when it would be longer than [`MAX_MEMBER_BYTES`], or the signature is
/// none that could be read again: no signature has a `;`.
pub fn write_member(out: &mut Vec<u8>, tag: GrayStatus, signature: Option<&[u8]>, lane: Option<&[u8]>) -> bool {
    if signature.is_some_and(|signature| signature == UNSIGNED || signature.contains(&b';')) {
        return false;
    }
    let parts = [Some(tag.as_str().as_bytes()), Some(signature.unwrap_or(UNSIGNED)), lane];
    let parts = parts.into_iter().flatten();
    let longest = ESCAPE_BYTES * parts.clone().map(|part| 1 + part.len()).sum::<usize>();
    let from = out.len();
    out.extend_from_slice(MEMBER_KEY.as_bytes());
    out.push(b'=');
    let mut end = out.len();
    out.resize(end + longest + 1, 0);
    for (place, part) in parts.enumerate() {
        end = escape(&b";"[..place.min(1)], out, end);
        end = escape(part, out, end);
    }
    let fits = end - from <= MAX_MEMBER_BYTES;
    out.truncate(if fits { end } else { from });
    fits
}

/// Writes over what is there from `end` on; returns where the next byte belongs.
fn escape(part: &[u8], out: &mut [u8], mut end: usize) -> usize {
    for byte in part {
        // All four bytes, of which the next byte writes over what is too much: lanes are a mixture that no branch foresees.
        let escape = &ESCAPES[usize::from(*byte)];
        out[end..end + escape.len()].copy_from_slice(escape);
        end += usize::from(escape[ESCAPE_BYTES]);
    }
    end
}

/// Length of an encoded byte.
const ESCAPE_BYTES: usize = 3;

/// What each byte is written as, and how many of the three count.
static ESCAPES: [[u8; ESCAPE_BYTES + 1]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut escapes = [[0; ESCAPE_BYTES + 1]; 256];
    let mut byte = 0;
    while byte < escapes.len() {
        escapes[byte] = if is_unreserved(byte as u8) {
            [byte as u8, 0, 0, 1]
        } else {
            [b'%', DIGITS[byte >> 4], DIGITS[byte & 15], ESCAPE_BYTES as u8]
        };
        byte += 1;
    }
    escapes
};

/// What stands for itself (RFC 3986, 2.3).
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The value of a member, percent-decoded; a `%` that encodes nothing stands for itself.
pub fn decoded(value: &[u8]) -> Vec<u8> {
    let mut rest = value;
    iter::from_fn(|| {
        let (byte, behind) = match *rest {
            [b'%', high, low, ref behind @ ..] if pair(high, low).is_some() => (pair(high, low)?, behind),
            [byte, ref behind @ ..] => (byte, behind),
            [] => return None,
        };
        rest = behind;
        Some(byte)
    })
    .collect()
}

fn pair(high: u8, low: u8) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    Some((digit(high)? * 16 + digit(low)?) as u8)
}

/// What our member says, once it is decoded. Nothing of it is judged here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberParts<'m> {
    /// What the header `gray` would say.
    pub tag: &'m [u8],
    /// What `gray-signature` would say.
    pub signature: Option<&'m [u8]>,
    /// What `gray-lane` would say.
    pub lane: Option<&'m [u8]>,
}

impl<'m> MemberParts<'m> {
    /// The parts of a decoded value.
    pub fn of(value: &'m [u8]) -> Self {
        let mut parts = value.splitn(3, |byte| *byte == b';');
        let tag = parts.next().unwrap_or_default();
        let signature = parts.next().filter(|signature| *signature != UNSIGNED);
        Self { tag, signature, lane: parts.next() }
    }
}

/// One member of a line, or what stands in the place of one: without white space around it, and never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'l>(&'l [u8]);

/// The members of one line. The standard knows no quotes: every comma ends one.
pub fn members(line: &[u8]) -> impl Iterator<Item = Member<'_>> {
    line.split(|byte| *byte == b',').map(trimmed).filter(|member| !member.is_empty()).map(Member)
}

fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

impl<'l> Member<'l> {
    /// Its bytes.
    pub fn as_bytes(self) -> &'l [u8] {
        self.0
    }

    /// What stands before the first `=`, and behind it.
    fn halves(self) -> (&'l [u8], Option<&'l [u8]>) {
        match memchr(b'=', self.0) {
            Some(at) => (trimmed(&self.0[..at]), Some(&self.0[at + 1..])),
            None => (self.0, None),
        }
    }

    /// The value, still encoded and without properties, if it is our member as we write it.
    pub fn ours(self) -> Option<&'l [u8]> {
        let (key, rest) = self.halves();
        let rest = rest.filter(|_| key == MEMBER_KEY.as_bytes())?;
        Some(trimmed(rest.split(|byte| *byte == b';').next().unwrap_or_default()))
    }

    /// Whether it could pass for ours, at a library that decodes keys, folds their case or trims them. Keys must not be
    /// encoded, and yet many libraries decode them, and some write out what they have decoded: so it is any key that
    /// is our name after any number of decodings, or a member of that name behind an encoded comma. Letters and digits count
    /// alone.
    pub fn is_spelling_of_ours(self) -> bool {
        is_spelling(self.halves().0)
    }

    /// Whether it is a member by the grammar (W3C Baggage, 3.3.1). There are libraries that drop a whole line for one that
    /// is not.
    pub fn is_well_formed(self) -> bool {
        let (key, Some(rest)) = self.halves() else { return false };
        let mut parts = rest.split(|byte| *byte == b';').map(trimmed);
        let value = parts.next().unwrap_or_default();
        is_token(key)
            && is_value(value)
            && parts.all(|property| match memchr(b'=', property) {
                Some(at) => is_token(trimmed(&property[..at])) && is_value(trimmed(&property[at + 1..])),
                None => is_token(property),
            })
    }
}

fn memchr(byte: u8, bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|other| *other == byte)
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// `baggage-octet`s, in which every `%` begins an encoded byte.
fn is_value(text: &[u8]) -> bool {
    text.iter().enumerate().all(|(place, byte)| match byte {
        b'%' => matches!(text[place + 1..], [high, low, ..] if pair(high, low).is_some()),
        _ => byte.is_ascii_graphic() && !b"\",;\\".contains(byte),
    })
}

fn is_spelling(key: &[u8]) -> bool {
    /// More unfinished encodings than this inside of each other are not written by accident.
    const DEEPEST: usize = 64;
    // What is encoded may be a part of another encoding: `%25%32d` is `%2d` is `-`. No two encodings overlap, so they may be
    // decoded in any order, and one pass finds what no decoding changes any more.
    let mut letters = Letters::default();
    let mut open = [0; DEEPEST];
    let mut len = 0;
    for byte in key {
        if len == DEEPEST {
            return true;
        }
        open[len] = *byte;
        len += 1;
        while let [.., b'%', high, low] = open[..len]
            && let Some(byte) = pair(high, low)
        {
            len -= 2;
            open[len - 1] = byte;
        }
        let done = open[..len].iter().enumerate().find(|(place, _)| may_encode(&open[*place..len]));
        let done = done.map_or(len, |(place, _)| place);
        open[..done].iter().for_each(|byte| letters.take(*byte));
        open.copy_within(done..len, 0);
        len -= done;
    }
    open[..len].iter().for_each(|byte| letters.take(*byte));
    letters.are_ours()
}

/// Whether what comes next can make an encoded byte of the beginning of this.
fn may_encode(bytes: &[u8]) -> bool {
    let may_be_digit = |byte: &u8| *byte == b'%' || byte.is_ascii_hexdigit();
    matches!(bytes, [b'%', next @ ..] if next.iter().take(2).all(may_be_digit))
}

/// How much of our name the letters so far are.
#[derive(Default)]
struct Letters {
    found: bool,
    differs: bool,
    count: usize,
}

impl Letters {
    const OURS: &'static [u8] = b"graylane";

    fn take(&mut self, byte: u8) {
        if b",;=".contains(&byte) {
            *self = Self { found: self.are_ours(), ..Self::default() };
        } else if byte.is_ascii_alphanumeric() {
            self.differs |= Self::OURS.get(self.count) != Some(&byte.to_ascii_lowercase());
            self.count += 1;
        }
    }

    fn are_ours(&self) -> bool {
        self.found || (!self.differs && self.count == Self::OURS.len())
    }
}

/// What was not passed on of the baggage of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Members that could pass for ours.
    pub forged: usize,
    /// What is not a member.
    pub malformed: usize,
    /// Members for which there was no room: the limits of the standard.
    pub over: usize,
}

/// Completes the value of one line: behind our member, which is all of `out` from `from` on and may be missing, the members of
/// all lines that may stand beside it, in their order. A member for which there is no room is dropped whole, and those behind it
/// may still fit.
pub fn write_others<'l>(out: &mut Vec<u8>, from: usize, lines: impl Iterator<Item = &'l [u8]>) -> Dropped {
    let (mut dropped, mut count) = (Dropped::default(), usize::from(out.len() > from));
    for member in lines.flat_map(members) {
        let comma = usize::from(count > 0);
        if member.is_spelling_of_ours() {
            dropped.forged += 1;
        } else if !member.is_well_formed() {
            dropped.malformed += 1;
        } else if count == MAX_MEMBERS || out.len() - from + comma + member.0.len() > MAX_BAGGAGE_BYTES {
            dropped.over += 1;
        } else {
            out.extend_from_slice(&b","[..comma]);
            out.extend_from_slice(member.0);
            count += 1;
        }
    }
    dropped
}

#[cfg(test)]
mod tests;
