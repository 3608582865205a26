//! Tests of one fact.

use std::{collections::HashSet, fmt};

use gray_expression::Expression;
use semver::VersionReq;

use super::{IpSet, Value};

/// Values to look up. Requests only look up in it and operators fill it, so the hash has to be quick, not safe from them.
pub type Values = HashSet<Box<[u8]>, foldhash::fast::RandomState>;

/// What a value must be like. A missing fact passes no test, and no negated one either, except [`Test::Missing`].
#[derive(Clone, Debug)]
pub enum Test {
    /// Anything, empty included.
    Exists,
    /// The fact must not be there at all.
    Missing,
    /// Equal, byte by byte.
    Exact(Box<[u8]>),
    /// One of these.
    In(Values),
    /// Begins with.
    Prefix(Box<[u8]>),
    /// Ends with.
    Suffix(Box<[u8]>),
    /// Matches as a whole, in linear time.
    Regex(Expression),
    /// A number within bounds.
    Number(Bounds),
    /// A semantic version that fits; `v` in front and missing parts are tolerated.
    Version(VersionReq),
    /// An address in the set.
    Ip(IpSet),
}

/// Bounds of a number; `None` is open.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    /// At least.
    pub at_least: Option<f64>,
    /// Greater than.
    pub above: Option<f64>,
    /// At most.
    pub at_most: Option<f64>,
    /// Less than.
    pub below: Option<f64>,
}

impl Bounds {
    fn contains(&self, number: f64) -> bool {
        self.at_least.is_none_or(|bound| number >= bound)
            && self.above.is_none_or(|bound| number > bound)
            && self.at_most.is_none_or(|bound| number <= bound)
            && self.below.is_none_or(|bound| number < bound)
    }
}

impl PartialEq for Test {
    /// Regular expressions are equal when they are written the same.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exists, Self::Exists) | (Self::Missing, Self::Missing) => true,
            (Self::Exact(one), Self::Exact(two)) => one == two,
            (Self::In(one), Self::In(two)) => one == two,
            (Self::Prefix(one), Self::Prefix(two)) | (Self::Suffix(one), Self::Suffix(two)) => one == two,
            (Self::Regex(one), Self::Regex(two)) => one.as_str() == two.as_str(),
            (Self::Number(one), Self::Number(two)) => one == two,
            (Self::Version(one), Self::Version(two)) => one == two,
            (Self::Ip(one), Self::Ip(two)) => one == two,
            _ => false,
        }
    }
}

impl Test {
    /// Whether the value passes.
    #[inline]
    pub fn passes(&self, value: Option<&Value<'_>>) -> bool {
        match (self, value) {
            (Self::Missing, value) => value.is_none(),
            (_, None) => false,
            // By far the most common.
            (Self::Exact(expected), Some(Value::Text(text))) => same(text, expected),
            (Self::Exists, Some(_)) => true,
            (Self::Ip(set), Some(value)) => value.address().is_some_and(|ip| set.contains(ip)),
            (_, Some(Value::Ip(_))) => false,
            (_, Some(Value::Text(text))) => self.text_passes(text),
        }
    }

    fn text_passes(&self, text: &[u8]) -> bool {
        match self {
            Self::Exact(expected) => *text == **expected,
            Self::In(set) => set.contains(text),
            Self::Prefix(prefix) => text.starts_with(prefix),
            Self::Suffix(suffix) => text.ends_with(suffix),
            Self::Regex(regex) => regex.is_match(text),
            Self::Number(bounds) => number(text).is_some_and(|number| bounds.contains(number)),
            Self::Version(wanted) => version(text).is_some_and(|version| wanted.matches(&version)),
            Self::Exists | Self::Missing | Self::Ip(_) => false,
        }
    }
}

/// Equal. Values that differ mostly differ at their ends (`U0001`, `U0002`): most comparisons are over there.
#[inline]
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.last() == other.last() && one == other
}

fn number(text: &[u8]) -> Option<f64> {
    let number: f64 = std::str::from_utf8(text).ok()?.trim().parse().ok()?;
    number.is_finite().then_some(number)
}

/// `7.0.1`, also `v7.0.1`, `7.0` and `7`.
fn version(text: &[u8]) -> Option<semver::Version> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    if let Ok(version) = text.parse() {
        return Some(version);
    }
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let missing = 2usize.checked_sub(numbers.matches('.').count())?;
    format!("{numbers}{}{rest}", ".0".repeat(missing)).parse().ok()
}

impl fmt::Display for Test {
    /// For people, who read it in an explanation.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self {
            Self::Exists => f.write_str("exists"),
            Self::Missing => f.write_str("is missing"),
            Self::Exact(expected) => write!(f, "is `{}`", text(expected)),
            Self::In(set) if set.len() > 5 => write!(f, "is one of {} values", set.len()),
            Self::In(set) => {
                let mut values: Vec<_> = set.iter().map(|value| text(value)).collect();
                values.sort();
                write!(f, "is one of `{}`", values.join("`, `"))
            }
            Self::Prefix(prefix) => write!(f, "begins with `{}`", text(prefix)),
            Self::Suffix(suffix) => write!(f, "ends with `{}`", text(suffix)),
            Self::Regex(regex) => write!(f, "matches `{regex}`"),
            Self::Number(Bounds { at_least, above, at_most, below }) => {
                let bounds = [(">=", at_least), (">", above), ("<=", at_most), ("<", below)];
                let shown: Vec<_> =
                    bounds.iter().filter_map(|(sign, bound)| bound.map(|bound| format!("{sign} {bound}"))).collect();
                write!(f, "is a number {}", shown.join(" and "))
            }
            Self::Version(wanted) => write!(f, "is a version {wanted}"),
            Self::Ip(_) => f.write_str("is one of the addresses"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn values_pass_or_not() {
        let bytes = |text: &str| Box::from(text.as_bytes());
        let number = |at_least, below| Test::Number(Bounds { at_least, below, ..Bounds::default() });
        let version = |text: &str| Test::Version(text.parse().expect("a requirement"));
        let regex = gray_document::Budget::default().expression("a+", gray_expression::Form::WholeBytes);
        let regex = regex.expect("an expression");
        let mut ips = IpSet::default();
        ips.insert("10.0.0.0/8").expect("network");
        let cases: [(Test, &[&str], &[&str]); 11] = [
            (Test::Exists, &["", "x"], &[]),
            (Test::Exact(bytes("a")), &["a"], &["A", "", "aa"]),
            (Test::In(["a", "b"].map(bytes).into_iter().collect()), &["a", "b"], &["c", ""]),
            (Test::Prefix(bytes("ab")), &["ab", "abc"], &["a", "xab"]),
            (Test::Suffix(bytes("ab")), &["ab", "cab"], &["abx", "b"]),
            (Test::Regex(regex), &["a", "aaa"], &["", "ab"]),
            (number(Some(3.0), Some(5.5)), &["3", " 4 ", "5.4", "3e0"], &["2.9", "5.5", "x", "", "NaN", "inf"]),
            (number(None, Some(0.0)), &["-1"], &["0"]),
            (version(">=7.0.1, <8"), &["7.0.1", "v7.1", "7.2.3"], &["7.0.0", "8", "x", "7.1.2.3", "7.0.1-rc.1"]),
            (version("=2"), &["2", "2.0.0", "V2.9"], &["3"]),
            (Test::Ip(ips), &["10.1.2.3", " ::ffff:10.0.0.1"], &["11.0.0.1", "x", ""]),
        ];
        for (test, good, bad) in cases {
            assert!(!test.passes(None), "{test}: missing");
            for (texts, expect) in [(good, true), (bad, false)] {
                for text in texts {
                    let value = Value::Text(Cow::Borrowed(text.as_bytes()));
                    assert_eq!(test.passes(Some(&value)), expect, "{text:?} {test}");
                }
            }
        }
        assert!(Test::Missing.passes(None));
        assert!(!Test::Missing.passes(Some(&Value::Text(Cow::Borrowed(b"")))));
    }
}
