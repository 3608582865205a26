//! What other servers could read a path as: the forms in which an ambiguous one is routed as well, so that no spelling
//! walks around a route.
//!
//! Servers differ in how often they decode, whether they cut `;parameters` before that or after, take `\` or an encoded
//! slash for a slash, trim blanks, and drop empty segments. The *canonical* form is what is left when all of that is
//! done until nothing changes. The other forms are on the way there: what is refused is whatever any of them leads to.

/// Percent-decoding goes on this often. What is encoded more often is refused: no client needs it.
const MAX_DECODINGS: usize = 3;

/// Slashes and escapes of an ambiguous path: each form costs time for each of them.
const MAX_MARKS: usize = 512;

const TOO_MANY: &str = "the path is ambiguous, and too long to try every reading";
const TOO_DEEP: &str = "the path is percent-encoded more than three times over";
const DOTS: &str = "the path contains a dot segment once it is decoded";

/// What cuts parameters off a segment.
type Cut = fn(&[u8]) -> &[u8];

/// The forms of a path, each as a path that patterns read as exactly these segments.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Forms {
    /// None twice, none that patterns read like the path itself; the canonical one is always the last.
    others: Vec<String>,
    /// The canonical one, unless that is the path itself, byte by byte: filters see those.
    canonical: Option<String>,
}

impl Forms {
    /// The forms of a path that is ambiguous and has been checked.
    ///
    /// # Errors
    /// When it holds a dot segment, or is encoded too often, or too long to be read again and again.
    pub(super) fn of(path: &str) -> Result<Self, &'static str> {
        if path.bytes().filter(|byte| matches!(byte, b'/' | b'%' | b'\\')).count() > MAX_MARKS {
            return Err(TOO_MANY);
        }
        let raw = path.as_bytes();
        let own = written(split(raw, b"/").map(|segment| decoded(before_semicolon(segment))));
        let mut forms = Self { others: Vec::new(), canonical: None };
        // Parameters are cut before decoding, or after it, or are none; what is encoded is a separator, or is none.
        forms.add_all(&own, path, raw, &[before_semicolon, or_all], decoded);
        let mut cut = [before_semicolon, or_all].map(|cut| split(raw, b"/").map(cut).collect::<Vec<_>>().join(&b'/'));
        let mut whole = raw.to_vec();
        let mut canonical = String::new();
        for round in 0..=MAX_DECODINGS {
            canonical = self::canonical(&whole)?;
            let next = decoded(&whole);
            if round > 0 || next == whole {
                for cut in &cut {
                    forms.add_all(&own, path, cut, &[|segment| segment], <[u8]>::to_vec);
                }
                forms.add_all(&own, path, &whole, &[before_semicolon, or_all], <[u8]>::to_vec);
                forms.add(&own, canonical.clone());
            }
            if next == whole {
                break;
            }
            if round == MAX_DECODINGS {
                return Err(TOO_DEEP);
            }
            (whole, cut) = (next, cut.map(|cut| decoded(&cut)));
        }
        forms.others.retain(|form| *form != canonical);
        if canonical != own {
            forms.others.push(canonical.clone());
        }
        forms.canonical = Some(canonical).filter(|canonical| canonical != path);
        Ok(forms)
    }

    /// Adds what is read of these bytes by servers that split them at `/`, or at `\` as well, and then make this of the
    /// segments. Empty ones are merged.
    fn add_all(&mut self, own: &str, path: &str, bytes: &[u8], cuts: &[Cut], then: fn(&[u8]) -> Vec<u8>) {
        let separators: &[&[u8]] = if bytes.contains(&b'\\') { &[b"/", b"/\\"] } else { &[b"/"] };
        // Without parameters there is one way to cut them off.
        let cuts = if bytes.contains(&b';') { cuts } else { &cuts[..1] };
        for separators in separators {
            for cut in cuts {
                self.add(own, merged(split(bytes, separators).map(|segment| then(cut(segment))), path));
            }
        }
    }

    fn add(&mut self, own: &str, form: String) {
        if form != own && !self.others.contains(&form) {
            self.others.push(form);
        }
    }

    /// Those that are not the path itself.
    pub(super) fn others(&self) -> &[String] {
        &self.others
    }

    /// The canonical one, unless that is the path itself, byte by byte.
    pub(super) fn canonical(self) -> Option<String> {
        self.canonical
    }
}

/// The canonical form of a path: decoded until nothing changes.
///
/// # Errors
/// When it holds a dot segment, or is encoded too often.
pub(super) fn canonical_of(path: &str) -> Result<String, &'static str> {
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..=MAX_DECODINGS {
        let next = decoded(&bytes);
        if next == bytes {
            return canonical(&bytes);
        }
        bytes = next;
    }
    Err(TOO_DEEP)
}

/// What is left of a decoded path: `\` is `/`, segments end at `;`, blanks around them and empty ones are gone.
fn canonical(path: &[u8]) -> Result<String, &'static str> {
    let segments = split(path, b"/\\").map(|segment| trim(before_semicolon(segment)));
    let segments: Vec<_> = segments.filter(|segment| !segment.is_empty()).collect();
    if segments.iter().any(|segment| **segment == *b"." || **segment == *b"..") {
        return Err(DOTS);
    }
    Ok(written(segments.into_iter().map(<[u8]>::to_vec)))
}

/// The segments behind the first slash.
fn split<'p>(path: &'p [u8], separators: &'p [u8]) -> impl Iterator<Item = &'p [u8]> {
    path.strip_prefix(b"/").unwrap_or(path).split(move |byte| separators.contains(byte))
}

fn before_semicolon(segment: &[u8]) -> &[u8] {
    segment.split(|byte| *byte == b';').next().unwrap_or_default()
}

/// A segment that is nothing but parameters is a name where parameters are not known.
fn or_all(segment: &[u8]) -> &[u8] {
    let name = before_semicolon(segment);
    if name.is_empty() { segment } else { name }
}

/// Everything up to the space is a blank, as for Java's `trim`.
fn trim(segment: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| *byte > b' ';
    let begin = segment.iter().position(is_text).unwrap_or(segment.len());
    let end = segment.iter().rposition(is_text).map_or(begin, |last| last + 1);
    segment.get(begin..end).unwrap_or_default()
}

/// The path without empty segments, but with the slash at its end, which patterns may ask for.
fn merged(segments: impl Iterator<Item = Vec<u8>>, path: &str) -> String {
    let last = path.ends_with('/').then(Vec::new);
    written(segments.filter(|segment| !segment.is_empty()).chain(last))
}

fn decoded(bytes: &[u8]) -> Vec<u8> {
    percent_encoding::percent_decode(bytes).collect()
}

/// A path with these segments. What would mean something in a path, or cannot stand in one, is percent-encoded.
fn written(segments: impl Iterator<Item = Vec<u8>>) -> String {
    const ENCODED: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'#')
        .add(b'%')
        .add(b'/')
        .add(b';')
        .add(b'<')
        .add(b'>')
        .add(b'?')
        .add(b'\\')
        .add(b'^')
        .add(b'`')
        .add(b'{')
        .add(b'|')
        .add(b'}');
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        path.extend(percent_encoding::percent_encode(&segment, ENCODED));
    }
    if path.is_empty() {
        path.push('/');
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_form() {
        for (path, expect) in [
            ("/echo//admin/x", "/echo/admin/x"),
            ("//", "/"),
            ("/a\\b", "/a/b"),
            ("/a;x=1/b;y", "/a/b"),
            ("/a/;x/b", "/a/b"),
            ("/a%2fb%5Cc", "/a/b/c"),
            ("/a%252fb", "/a/b"),
            ("/a%25252fb", "/a/b"),
            ("/a%3bb/c", "/a/c"),
            ("/%20a%20/b", "/a/b"),
            ("/a%20b", "/a%20b"),
            ("/a%2520b", "/a%20b"),
            ("/100%25", "/100%25"),
            ("/a%250ab", "/a%0Ab"),
            ("/%E6%9d%ad;1", "/%E6%9D%AD"),
            ("/a/%20/b/", "/a/b"),
        ] {
            assert_eq!(canonical_of(path).as_deref(), Ok(expect), "{path}");
            let again = canonical_of(expect);
            assert_eq!(again.as_deref(), Ok(expect), "{path} twice");
        }
        for path in ["/%252e%252e/x", "/%252e", "/a%252f..%252fb", "/..%20/a", "/a/%25252e%3bx/b"] {
            assert_eq!(canonical_of(path), Err(DOTS), "{path}");
            assert_eq!(Forms::of(path), Err(DOTS), "{path}");
        }
        for path in ["/%2525252561", "/a%252525252fb"] {
            assert_eq!(canonical_of(path), Err(TOO_DEEP), "{path}");
            assert_eq!(Forms::of(path), Err(TOO_DEEP), "{path}");
        }
    }

    #[test]
    fn a_path_is_not_read_for_ever() {
        assert!(Forms::of(&"/a%20b".repeat(MAX_MARKS / 2)).is_ok());
        assert_eq!(Forms::of(&"/a%20b".repeat(MAX_MARKS / 2 + 1)), Err(TOO_MANY));
    }

    #[test]
    fn the_forms_on_the_way_there() {
        for (path, expect) in [
            // Nothing but a blank inside of a name: there is no other way to read it.
            ("/a%20b", &[][..]),
            ("/a;v=1", &[]),
            ("/a//b", &["/a/b"]),
            ("/a%2fb", &["/a/b"]),
            ("/a%3bb", &["/a"]),
            // Tomcat takes `%3b` for a character, others for the beginning of parameters.
            ("/a//%3b", &["/a/%3B", "/a"]),
            ("/a%2f%20", &["/a/%20", "/a"]),
            ("/a%252fb", &["/a/b"]),
            ("/a\\%20;x", &["/a/%20", "/a"]),
        ] {
            let forms = Forms::of(path).expect(path);
            let shown: Vec<_> = forms.others().iter().map(String::as_str).collect();
            let expect: Vec<_> = expect.to_vec();
            assert!(expect.iter().all(|form| shown.contains(form)), "{path}: {shown:?}");
            assert_eq!(expect.is_empty(), shown.is_empty(), "{path}: {shown:?}");
            assert_eq!(shown.last(), expect.last(), "{path}");
        }
    }
}
