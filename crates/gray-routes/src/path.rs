//! Paths that no server may read as a path out of where it is are refused; all others pass byte by byte.

/// How a path is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// Every server reads the same segments.
    Plain,
    /// It holds an empty segment, `\`, `;`, a blank, or one of `/ \ ; %` and blank percent-encoded: servers differ in
    /// what they make of it.
    Ambiguous,
}

/// Refuses dot segments and control characters, plain or percent-encoded, and broken percent-encoding; tells how the
/// rest is spelled.
///
/// What some backend treats as a separator ends a segment here as well: `/`, `%2f`, `\`, `%5c`; so does what it cuts
/// off: `;` and everything behind.
///
/// # Errors
/// With the reason.
pub fn check(path: &str) -> Result<Spelling, &'static str> {
    let bytes = path.as_bytes();
    let mut segment = Segment::default();
    let (mut at, mut begun, mut spelling) = (0, usize::MAX, Spelling::Plain);
    while let Some(&raw) = bytes.get(at) {
        let byte = if raw == b'%' { decode(bytes, &mut at)? } else { raw };
        at += 1;
        match byte {
            0..=0x1f | 0x7f => return Err("the path contains a control character"),
            b'/' | b'\\' => {
                if byte == b'\\' || raw == b'%' || at == begun {
                    spelling = Spelling::Ambiguous;
                }
                begun = at + 1;
                segment.end()?;
            }
            b';' => {
                spelling = Spelling::Ambiguous;
                segment.cut = true;
            }
            b'.' if !segment.cut => segment.dots += 1,
            _ => {
                if byte == b' ' || byte == b'%' {
                    spelling = Spelling::Ambiguous;
                }
                segment.other |= !segment.cut;
            }
        }
    }
    segment.end()?;
    Ok(spelling)
}

/// The byte that `%xx` at `at` stands for, moving to its last digit.
fn decode(bytes: &[u8], at: &mut usize) -> Result<u8, &'static str> {
    let digit = |offset: usize| bytes.get(*at + offset).and_then(|b| char::from(*b).to_digit(16));
    let (Some(high), Some(low)) = (digit(1), digit(2)) else { return Err("the path contains a lone %") };
    *at += 2;
    Ok((high * 16 + low) as u8)
}

#[derive(Default)]
struct Segment {
    dots: usize,
    other: bool,
    cut: bool,
}

impl Segment {
    fn end(&mut self) -> Result<(), &'static str> {
        let ended = std::mem::take(self);
        if !ended.other && (ended.dots == 1 || ended.dots == 2) {
            return Err("the path contains a dot segment");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Spelling, check};

    #[test]
    fn spellings() {
        for path in ["/", "", "*", "/a", "/a/", "/a-b_c~d.e/f:g@h!$&'()*+,=", "/%e6%9d%ad%41", "/a%2Eb", "/a.b/..c"] {
            assert_eq!(check(path), Ok(Spelling::Plain), "{path}");
        }
        for path in [
            "//", "/a//b", "/a//", "/a\\b", "/a;b", "/;", "/a b", "/a%2fb", "/a%5Cb", "/a%3bb", "/a%25b", "/a%20b",
            "/a/%2F",
        ] {
            assert_eq!(check(path), Ok(Spelling::Ambiguous), "{path}");
        }
    }

    #[test]
    fn dot_segments_and_control_characters_are_refused() {
        for path in [
            "/..",
            "/.",
            "/a/../b",
            "/a/./b",
            "/a/%2e%2e/b",
            "/a/%2E./b",
            "/a/..%2fb",
            "/a/..%5Cb",
            "/a\\..\\b",
            "/a/..;x=1/b",
            "/%2e",
            "/a/..;",
            "/a%00",
            "/a%0d%0ab",
            "/a%0A",
            "/a%7f",
            "/a%2f..",
            "/..%2F",
            "/%",
            "/%2",
            "/%zz",
        ] {
            assert!(check(path).is_err(), "{path}");
        }
    }

    #[test]
    fn everything_else_passes() {
        for path in [
            "/",
            "",
            "*",
            "/a",
            "//a//b",
            "/a%2fb",
            "/a;v=..",
            "/...",
            "/.well-known/x",
            "/a..b",
            "/a.",
            "/%252e%252e",
            "/\u{e9}",
            "/a/..a/b",
        ] {
            assert!(check(path).is_ok(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn what_passes_has_no_dot_segment_after_decoding(path in "(/|\\.|%2e|%2E|%2f|%5c|\\\\|;|a|%0d|%41){0,12}") {
            if check(&path).is_ok() {
                let decoded = path.to_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
                prop_assert!(!decoded.contains("%0d"));
                for segment in decoded.replace('\\', "/").split('/') {
                    let name = segment.split(';').next().unwrap_or_default();
                    prop_assert!(name != "." && name != "..", "{}", path);
                }
            }
        }
    }
}
