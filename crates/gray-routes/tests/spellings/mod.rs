//! Paths in spellings that an author once forgot, and how servers read them: for the tests of the routes and for the
//! scorecard, which use the same file.
//!
//! The servers are modelled on what they document and do, not on our code: each says which segments it looks for after
//! its own decoding, or that it refuses the path.

/// Routes to one upstream, `{uri}`. Behind each open route (`-open`) lies what its guarded neighbours cover; `{guard}` is
/// their filter.
pub(crate) const ROUTES: &str = "
- { id: echo-admin, uri: '{uri}', predicates: ['Path=/echo/admin/**'], filters: ['StripPrefix=1', {guard}] }
- { id: echo-item, uri: '{uri}', predicates: ['Path=/echo/items/{id}/secret'], filters: ['StripPrefix=1', {guard}] }
- { id: echo-open, uri: '{uri}', predicates: ['Path=/echo/**'], filters: ['StripPrefix=1'] }
- { id: re-admin, uri: '{uri}', predicates: ['Path=/re/admin/**'], filters: ['StripPrefix=1', {guard}] }
- { id: re-item, uri: '{uri}', predicates: ['Path=/re/items/{id}/secret'], filters: ['StripPrefix=1', {guard}] }
- { id: re-open, uri: '{uri}', predicates: ['Path=/re/**'], filters: ['RewritePath=/re/?(?<rest>.*), /$\\{rest}'] }
- { id: odd-admin, uri: '{uri}', predicates: ['Path=/odd/{any}/admin/**'], filters: ['StripPrefix=2', {guard}] }
- { id: odd-item, uri: '{uri}', predicates: ['Path=/odd/{any}/items/{id}/secret'], filters: ['StripPrefix=2', {guard}] }
- { id: odd-open, uri: '{uri}', predicates: ['Path=/odd/**'], filters: ['RewritePath=/odd/[^/]*/(?<rest>.*), /$\\{rest}'] }
- { id: root-admin, uri: '{uri}', predicates: ['Path=/admin/**'], filters: [{guard}] }
- { id: root-item, uri: '{uri}', predicates: ['Path=/items/{id}/secret'], filters: [{guard}] }
- { id: root-open, uri: '{uri}', predicates: ['Path=/**'] }
";

/// Whether an upstream that reads these segments would give away what a guarded route covers.
pub(crate) fn is_guarded(segments: &[Vec<u8>]) -> bool {
    let is = |place: usize, name: &[u8]| segments.get(place).is_some_and(|segment| segment == name);
    let has_id = segments.get(1).is_some_and(|id| !id.is_empty());
    is(0, b"admin") || (is(0, b"items") && has_id && is(2, b"secret") && segments.len() == 3)
}

/// A server: its name, and the segments it reads in a path; `None` when it refuses the path.
pub(crate) type Server = (&'static str, fn(&str) -> Option<Vec<Vec<u8>>>);

/// The servers.
pub(crate) const SERVERS: &[Server] = &[
    ("Tomcat", |path| tomcat(path, Slash::Refuse)),
    ("Tomcat that decodes slashes", |path| tomcat(path, Slash::Decode)),
    ("Tomcat that passes slashes through", |path| tomcat(path, Slash::Keep)),
    ("Jetty", |path| jetty(path, false)),
    ("Jetty that compacts paths", |path| jetty(path, true)),
    ("axum", |path| Some(segments(path.as_bytes()))),
    ("axum, variables decoded", |path| Some(segments(path.as_bytes()).iter().map(|one| decoded(one)).collect())),
    ("nginx", |path| nginx(path.as_bytes(), true)),
    ("nginx that merges no slashes", |path| nginx(path.as_bytes(), false)),
    ("nginx before Tomcat", |path| tomcat_bytes(&escaped(&nginx(path.as_bytes(), true)?), Slash::Decode)),
    ("an application that decodes again", |path| nginx(&decoded(path.as_bytes()), true)),
];

#[derive(Clone, Copy, PartialEq)]
enum Slash {
    Refuse,
    Decode,
    Keep,
}

/// `CoyoteAdapter`: parameters are cut off before anything is decoded; then decoded once, then normalised, `\` being a
/// slash where it is allowed at all. What is to be done with `%2f` is a setting (`encodedSolidusHandling`).
fn tomcat(path: &str, slash: Slash) -> Option<Vec<Vec<u8>>> {
    tomcat_bytes(path.as_bytes(), slash)
}

fn tomcat_bytes(path: &[u8], slash: Slash) -> Option<Vec<Vec<u8>>> {
    let mut bare = Vec::new();
    for segment in segments(path) {
        bare.push(b'/');
        bare.extend(segment.split(|byte| *byte == b';').next().unwrap_or_default());
    }
    let lower = bare.to_ascii_lowercase();
    let has = |part: &[u8]| lower.windows(part.len()).any(|window| window == part);
    if slash == Slash::Refuse && (has(b"%2f") || has(b"%5c") || has(b"\\")) {
        return None;
    }
    let decoded = match slash {
        // The escape stays as it is, so it is not a separator.
        Slash::Keep => segments(&bare).iter().map(|one| decoded_but_slash(one)).collect::<Vec<_>>().join(&b'/'),
        _ => decoded(&bare),
    };
    normalised(decoded.split(|byte| *byte == b'/' || *byte == b'\\').map(<[u8]>::to_vec), true)
}

/// `HttpURI` in its lenient modes: parameters are cut off each segment, then all is decoded once, `%2f` included.
fn jetty(path: &str, compact: bool) -> Option<Vec<Vec<u8>>> {
    let bare =
        segments(path.as_bytes()).into_iter().map(|one| one.split(|byte| *byte == b';').next().map(<[u8]>::to_vec));
    let bare = bare.collect::<Option<Vec<_>>>()?.join(&b'/');
    normalised(decoded(&bare).split(|byte| *byte == b'/').map(<[u8]>::to_vec), compact)
}

/// `ngx_http_parse_complex_uri`: decoded once, `%2f` included; slashes merged; `;` and `\` are characters.
fn nginx(path: &[u8], merge: bool) -> Option<Vec<Vec<u8>>> {
    let decoded = decoded(path);
    let relative = decoded.strip_prefix(b"/").unwrap_or(&decoded);
    normalised(relative.split(|byte| *byte == b'/').map(<[u8]>::to_vec), merge)
}

/// Dot segments resolved; above the root is refused.
fn normalised(all: impl Iterator<Item = Vec<u8>>, merge: bool) -> Option<Vec<Vec<u8>>> {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for segment in all {
        match &*segment {
            b"" if merge => {}
            b"." => {}
            b".." => drop(kept.pop()?),
            _ => kept.push(segment),
        }
    }
    Some(kept)
}

fn segments(path: &[u8]) -> Vec<Vec<u8>> {
    path.strip_prefix(b"/").unwrap_or(path).split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect()
}

/// What nginx sends on of a path that it has read (`ngx_escape_uri`): `;` and `\` as they are, `%` encoded.
fn escaped(segments: &[Vec<u8>]) -> Vec<u8> {
    let mut path = Vec::new();
    for byte in segments.iter().flat_map(|segment| [b"/", &**segment].concat()) {
        match byte {
            b' ' | b'#' | b'%' | b'?' | 0..0x20 | 0x7f.. => path.extend(format!("%{byte:02X}").bytes()),
            byte => path.push(byte),
        }
    }
    path
}

fn decoded_but_slash(text: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text);
    while let Some((first, after)) = rest.split_first() {
        match escape(rest) {
            Some(b'/' | b'\\') => out.push(*first),
            Some(byte) => {
                out.push(byte);
                rest = &rest[3..];
                continue;
            }
            None => out.push(*first),
        }
        rest = after;
    }
    out
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text);
    while let Some((first, after)) = rest.split_first() {
        match escape(rest) {
            Some(byte) => {
                out.push(byte);
                rest = &rest[3..];
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

/// What `%xx` at the beginning stands for.
fn escape(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

/// Draws spellings; the same for the same seed.
pub(crate) struct Speller(u64);

const PATHS: &[&str] = &[
    "/echo/admin/x",
    "/echo/admin",
    "/echo/items/7/secret",
    "/re/admin/x",
    "/re/items/7/secret",
    "/odd/x/admin/y",
    "/odd/admin/x",
    "/odd/x/items/7/secret",
    "/admin/x",
    "/items/7/secret",
    "/items/secret",
    // Open, in all spellings.
    "/echo/open/x",
    "/re/open",
    "/odd/x/open",
    "/open/x",
];
const SLASHES: &[&str] = &[
    "//", "///", "/;/", "/;a=b/", "/%20/", "/%2520/", "%2f", "%2F", "%252f", "%25252f", "\\", "/\\", "%5c", "%255C",
    "/%3b/", "/%253b/", ";/", ";a/", "%3b/", "%20/", "/%20", "/%2e/", "/./", "/..;/", "/x/../", "/%252e/", "/.%20/",
    "/+/",
];
const IDS: &[&str] = &["%20", ";", "%3b", "%2f", "%252f", ";x", "7;x", "%5c", "\\", "%25", ".", "%e6%9d%ad"];

impl Speller {
    /// With a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap_or(0) % bound
    }

    fn pick(&mut self, of: &[&'static str]) -> &'static str {
        of[self.below(of.len())]
    }

    /// The next one.
    pub(crate) fn path(&mut self) -> String {
        let path = self.pick(PATHS);
        // From hardly at all to beyond recognition.
        let odds = [2, 5, 12][self.below(3)];
        let mut spelled = String::new();
        for (place, segment) in path.split('/').enumerate() {
            if place > 0 {
                // A target begins with a slash.
                let slash = if self.below(odds) == 0 { self.pick(SLASHES) } else { "/" };
                let begun = place > 1 || slash.starts_with('/');
                spelled.push_str(if begun { slash } else { "/" });
            }
            if segment == "7" && self.below(2) == 0 {
                let id = self.pick(IDS);
                spelled.push_str(id);
                continue;
            }
            for byte in segment.bytes() {
                match self.below(odds * 4) {
                    0 => spelled.push_str(&format!("%{byte:02x}")),
                    1 => spelled.push_str(&format!("%{byte:02X}")),
                    2 => spelled.push_str(&format!("%25{byte:02x}")),
                    3 if self.below(4) == 0 => spelled.push_str(&format!("%2525{byte:02x}")),
                    _ => spelled.push(char::from(byte)),
                }
            }
        }
        if self.below(odds) == 0 {
            spelled.push_str(self.pick(SLASHES));
        }
        spelled
    }
}
