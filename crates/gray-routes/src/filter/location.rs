//! `RewriteLocationResponseHeader`: the client's host takes the place of the instance's, and a version may go.

use std::borrow::Cow;

use gray_expression::Steps;
use http::HeaderName;

use super::response::Line;
use crate::{text::TextPattern, variables::EditError};

/// What is rewritten, and how.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    pub(super) name: HeaderName,
    pub(super) strip: Strip,
    /// What takes the place of the instance's host; else it is what the client asked for.
    pub(super) host: Option<Box<str>>,
    pub(super) protocols: TextPattern,
    /// How many filters of the path come before this one.
    pub(super) place: usize,
}

/// When `/v2` behind the host goes as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strip {
    Never,
    /// When the path of the request has none.
    AsInRequest,
    Always,
}

impl Location {
    /// The host that takes the place of the instance's.
    pub(super) fn host<'h>(&'h self, asked: &'h str) -> &'h str {
        self.host.as_deref().unwrap_or(asked)
    }

    /// Whether a version is taken off; `path` is what the filters up to a place make of the path.
    pub(super) fn strips(&self, path: impl FnOnce(usize) -> Result<String, EditError>) -> Result<bool, EditError> {
        match self.strip {
            Strip::Never => Ok(false),
            Strip::Always => Ok(true),
            Strip::AsInRequest => {
                let path = path(self.place)?;
                Ok(version(&path).is_none_or(|length| !path[length..].starts_with('/')))
            }
        }
    }

    /// Rewrites the first value; as in Spring, it is the only one then.
    pub(super) fn apply(
        &self,
        lines: &mut Vec<Line<'_>>,
        host: &str,
        strips: bool,
        steps: &Steps,
    ) -> Result<(), EditError> {
        let is_it = |line: &Line<'_>| line.name.eq_ignore_ascii_case(self.name.as_str());
        let Some(first) = lines.iter().position(is_it) else { return Ok(()) };
        let mut place = 0;
        lines.retain(|line| {
            place += 1;
            place - 1 == first || !is_it(line)
        });
        if let Some(line) = lines.get_mut(first)
            && let Ok(text) = std::str::from_utf8(&line.value)
            && let Some(fixed) = self.fixed(text, host, strips, steps)?
        {
            line.value = Cow::Owned(fixed.into_bytes());
        }
        Ok(())
    }

    /// `None`: it stays as it is.
    fn fixed(&self, location: &str, host: &str, strips: bool, steps: &Steps) -> Result<Option<String>, EditError> {
        let Some((protocol, rest)) = location.split_once("://") else { return Ok(None) };
        Ok(match self.protocols.matches(protocol, steps)? {
            true => replaced(protocol, rest, host, strips),
            false => None,
        })
    }
}

/// The same with another host; `rest` is what stands behind `://`.
fn replaced(protocol: &str, rest: &str, host: &str, strips: bool) -> Option<String> {
    let mut path = rest.get(rest.find([':', '/']).filter(|end| *end > 0)?..)?;
    if let Some(port) = path.strip_prefix(':') {
        let digits = port.bytes().take_while(u8::is_ascii_digit).count();
        path = port.get(digits..).filter(|_| digits > 0)?;
    }
    if !path.starts_with('/') {
        return None;
    }
    if let Some(after) = version(path).filter(|_| strips).and_then(|end| path.get(end..))
        && after.starts_with('/')
    {
        path = after;
    }
    Some(format!("{protocol}://{host}{path}"))
}

/// The length of `/v2` at the beginning of a path.
fn version(path: &str) -> Option<usize> {
    let digits = path.strip_prefix("/v")?.bytes().take_while(u8::is_ascii_digit).count();
    (digits > 0).then_some(2 + digits)
}

#[cfg(test)]
mod tests {
    use gray_document::Budget;

    use super::*;

    /// The values are what Spring makes of them: the comments of its class, and its expressions read by hand.
    #[test]
    fn locations() {
        let location = Location {
            name: http::header::LOCATION,
            strip: Strip::AsInRequest,
            host: None,
            protocols: TextPattern::new("https?|ftps?", &Budget::default()).expect("valid"),
            place: 0,
        };
        for (value, strips, expect) in [
            ("https://o.example.net/v2/some/id", true, Some("https://api:443/some/id")),
            ("https://o.example.net/v2/some/id", false, Some("https://api:443/v2/some/id")),
            ("http://o:8080/v1/a", true, Some("http://api:443/a")),
            ("ftp://o/", false, Some("ftp://api:443/")),
            ("http://o/v2", true, Some("http://api:443/v2")),
            ("http://o/vx/a", true, Some("http://api:443/vx/a")),
            ("http://o", false, None),
            ("http://o:80x/", false, None),
            ("http:///a", false, None),
            ("ws://o/a", false, None),
            ("/relative", false, None),
            ("", false, None),
        ] {
            let fixed = location.fixed(value, "api:443", strips, &Steps::default()).expect("few steps");
            assert_eq!(fixed.as_deref(), expect, "{value} {strips}");
        }
        for (path, expect) in [("/a", true), ("/v1/a", false), ("/v1", true), ("/vx/a", true)] {
            assert_eq!(location.strips(|_| Ok(path.to_owned())), Ok(expect), "{path}");
        }
    }
}
