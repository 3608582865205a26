//! Origins: `scheme://host`, with a port where it is not the scheme's own.

/// The origin of pages that have none: those in a sandbox, as which every page can show another one.
const NULL: &str = "null";
/// Hosts that have nothing in common but dots and hyphens.
const STRANGERS: [&str; 2] = ["q-q.q-q.q.q.q.zz", "7-7.7-7.7.7.7.jk"];

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
    /// By what any page can come to be: a pattern that leaves the end of the host open (`https://*`), or `null`, as which every page can ask.
    Anyone,
    /// By its name, or by a pattern that tells hosts apart.
    This,
}

impl Origins {
    pub(super) fn allow(&self, origin: &[u8]) -> Option<Allowed> {
        let text = std::str::from_utf8(origin).ok()?.trim_end_matches('/');
        if text.is_empty() {
            return None;
        }
        let is_named = self.named.iter().any(|named| named.eq_ignore_ascii_case(text));
        let patterns = self.patterns.iter().filter(|pattern| pattern.matches(text));
        let by_pattern = patterns.map(|pattern| pattern.is_open).min();
        let is_told_apart = is_named || by_pattern == Some(false);
        if is_told_apart && !text.eq_ignore_ascii_case(NULL) {
            return Some(Allowed::This);
        }
        if is_named || by_pattern.is_some() {
            return Some(Allowed::Anyone);
        }
        self.all.then_some(Allowed::All)
    }

    /// Whether an origin may be allowed that any page can have.
    pub(super) fn are_open(&self) -> bool {
        self.all
            || self.patterns.iter().any(|pattern| pattern.is_open || pattern.matches(NULL))
            || self.named.iter().any(|named| named.eq_ignore_ascii_case(NULL))
    }
}

/// `https://*.example.com`, `https://*.example.com:[8080,8081]`, `http://localhost:[*]`: `*` stands for any characters.
#[derive(Debug)]
pub(super) struct OriginPattern {
    /// What stands between the `*`.
    pieces: Box<[Box<str>]>,
    ports: Ports,
    /// Whether everybody can have a host that it takes.
    is_open: bool,
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
        let mut pattern = Self { pieces: origin.split('*').map(Box::from).collect(), ports, is_open: false };
        pattern.is_open = pattern.takes_strangers(origin);
        Ok(pattern)
    }

    /// Whether the pattern takes hosts that have nothing in common but how they begin; `written` is the pattern without its list
    /// of ports.
    fn takes_strangers(&self, written: &str) -> bool {
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        let port = match (&self.ports, written.rsplit_once(':')) {
            (Ports::These(ports), _) => ports.first().map(u16::to_string).unwrap_or_default(),
            (_, Some((_, port))) => digits(port),
            (_, None) => String::new(),
        };
        let ports = [String::new(), ":8443".to_owned(), format!(":{port}")];
        // `https://shop.*`: anyone can register such a host. Not so what begins with a whole host and its port.
        let begins = written.split_once('*').map(|(begin, _)| begin).filter(|begin| {
            let host = begin.strip_prefix("https://").or_else(|| begin.strip_prefix("http://"));
            host.is_some_and(|host| !host.contains(':'))
        });
        ["https://", "http://"].into_iter().chain(begins).any(|begin| {
            ports.iter().any(|port| STRANGERS.iter().all(|host| self.matches(&format!("{begin}{host}{port}"))))
        })
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
