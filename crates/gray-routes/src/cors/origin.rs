//! Origins: `scheme://host`, with a port where it is not the scheme's own.

/// `allowed-origins` and `allowed-origin-patterns`
#[derive(Debug, Default)]
pub(super) struct Origins {
    /// `*`, as an origin or as a pattern.
    pub(super) all: bool,
    pub(super) named: Vec<Box<str>>,
    pub(super) patterns: Vec<OriginPattern>,
}

/// How an origin is allowed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    /// As every other one is.
    All,
    /// By its name or a pattern that not every one matches.
    This,
}

impl Origins {
    pub(super) fn allow(&self, origin: &[u8]) -> Option<Allowed> {
        let text = std::str::from_utf8(origin).ok()?.trim_end_matches('/');
        let is_named = || self.named.iter().any(|named| named.eq_ignore_ascii_case(text));
        if !text.is_empty() && (is_named() || self.patterns.iter().any(|pattern| pattern.matches(text))) {
            return Some(Allowed::This);
        }
        (self.all && !text.is_empty()).then_some(Allowed::All)
    }
}

/// `https://*.example.com`, `https://*.example.com:[8080,8081]`, `http://localhost:[*]`: `*` stands for any characters.
#[derive(Debug)]
pub(super) struct OriginPattern {
    /// What stands between the `*`.
    pieces: Box<[Box<str>]>,
    ports: Ports,
}

#[derive(Debug)]
enum Ports {
    /// Part of the pattern, if it has one.
    Written,
    /// `:[*]`: any, or none.
    Any,
    /// `:[8080,8081]`
    These(Box<[u16]>),
}

impl OriginPattern {
    /// Reads a pattern; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let list = text.strip_suffix(']').and_then(|rest| rest.rsplit_once(":["));
        let (origin, ports) = match list {
            None => (text, Ports::Written),
            Some((origin, "*")) => (origin, Ports::Any),
            Some((origin, ports)) => {
                let ports: Result<_, _> = ports.split(',').map(|port| port.trim().parse()).collect();
                let ports = ports.map_err(|_| "expected ports such as `:[8080,8081]`, or `:[*]` for any".to_owned())?;
                (origin, Ports::These(ports))
            }
        };
        if origin.is_empty() {
            return Err("expected an origin such as `https://*.example.com`".to_owned());
        }
        Ok(Self { pieces: origin.split('*').map(Box::from).collect(), ports })
    }

    pub(super) fn matches(&self, origin: &str) -> bool {
        let port = |origin: &'_ str| -> Option<(usize, Option<u16>)> {
            let (rest, digits) = origin.rsplit_once(':')?;
            Some((rest.len(), digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))))
        };
        match &self.ports {
            Ports::Written => self.matches_text(origin),
            Ports::Any => match port(origin) {
                Some((end, Some(_))) if self.matches_text(&origin[..end]) => true,
                _ => self.matches_text(origin),
            },
            Ports::These(ports) => {
                matches!(port(origin), Some((end, Some(port))) if ports.contains(&port) && self.matches_text(&origin[..end]))
            }
        }
    }

    /// Each piece is looked for behind the one before, the last one at the end: no going back, so linear in the text.
    fn matches_text(&self, text: &str) -> bool {
        let [first, between @ .., last] = &*self.pieces else {
            return self.pieces.first().is_some_and(|only| **only == *text);
        };
        let Some(mut rest) = text.strip_prefix(&**first) else { return false };
        for piece in between {
            let Some((_, behind)) = rest.split_once(&**piece) else { return false };
            rest = behind;
        }
        rest.ends_with(&**last)
    }
}

/// Whether an origin is the one that the request itself is for (`CorsUtils.isSameOrigin`).
pub(super) fn is_same(origin: &[u8], scheme: &str, authority: &str) -> bool {
    let Ok(origin) = std::str::from_utf8(origin) else { return false };
    let Some((of, host)) = origin.split_once("://") else { return false };
    let bare = |host: &'_ str| -> (usize, u16) {
        let default = if scheme == "https" { 443 } else { 80 };
        // The colons of an IPv6 address stand within brackets.
        let colon = host.rfind(':').filter(|colon| host.rfind(']').is_none_or(|bracket| bracket < *colon));
        match colon.map(|colon| (colon, host[colon + 1..].parse())) {
            Some((colon, Ok(port))) => (colon, port),
            _ => (host.len(), default),
        }
    };
    let ((end, port), (own_end, own_port)) = (bare(host), bare(authority));
    of.eq_ignore_ascii_case(scheme) && port == own_port && host[..end].eq_ignore_ascii_case(&authority[..own_end])
}
