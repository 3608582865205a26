//! How to reach Eureka, and how patient to be with it.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use gray_tls::{TlsError, Trust};
use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;

const MAX_SERVERS: usize = 16;
const EXPECTED: &str = "expected a URL such as http://eureka:8761/eureka/";

/// How to reach Eureka, and how patient to be with it. [`new`](Self::new) sets every default; assign to the fields that are to
/// differ.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EurekaOptions {
    /// The servers, the preferred one first.
    pub(crate) servers: Vec<Server>,
    /// The zone that this program is in.
    pub(crate) zone: Option<String>,
    /// So many of the servers, the first ones, are in that zone.
    pub(crate) near: usize,
    pub(crate) tls: EurekaTls,
    /// How often the servers are asked for changes, give or take a tenth. Default 5 s (Java's clients: 30 s).
    pub fetch_interval: Duration,
    /// Every how many of these the whole list is read as well, for what the answers with changes have left out. Default 6.
    pub compare_every: u32,
    /// How often the lease of an own instance is renewed. Default 30 s, which servers count on: they judge by it whether they hear
    /// too little of their clients (self-preservation).
    pub renew_interval: Duration,
    /// How long a lease lives without that. Default 90 s.
    pub lease: Duration,
    /// How long the last instances of a version stay listed after they went missing. Default 10 s; zero: none is kept.
    pub hold: Duration,
    /// How long all missing instances stay listed while a server recovers. Default 180 s; zero: as `hold` says.
    pub recovery: Duration,
    /// Limit for one server to be connected to and to answer. Default 3 s.
    pub request_timeout: Duration,
    /// The same for a list of all instances. Default 15 s.
    pub full_timeout: Duration,
    /// How soon the servers of the own zone are tried again when one of another zone has taken over. Default 5 min.
    pub return_after: Duration,
}

impl EurekaOptions {
    /// The defaults, for one URL or several separated by commas, as Spring's `defaultZone` has them. A user and a password may stand
    /// before the host, and the server's zone before the URL: `ZONE=URL`.
    ///
    /// # Errors
    /// Says which URL is wrong, and what with it; never the password in it.
    pub fn new(urls: &str, tls: EurekaTls) -> Result<Self, String> {
        let servers = urls.split(',').map(str::trim).filter(|url| !url.is_empty());
        let servers = servers.map(Server::read).collect::<Result<Vec<_>, _>>()?;
        match servers.len() {
            0 => return Err(format!("no server is given: {EXPECTED}")),
            1..=MAX_SERVERS => {}
            count => return Err(format!("{count} servers are given: expected at most {MAX_SERVERS}")),
        }
        Ok(Self {
            servers,
            zone: None,
            near: 0,
            tls,
            fetch_interval: Duration::from_secs(5),
            compare_every: 6,
            renew_interval: Duration::from_secs(30),
            lease: Duration::from_secs(90),
            hold: Duration::from_secs(10),
            recovery: Duration::from_secs(180),
            request_timeout: Duration::from_secs(3),
            full_timeout: Duration::from_secs(15),
            return_after: Duration::from_secs(300),
        })
    }

    /// For a program in this zone: its own instances say so, and servers of the zone are asked before the others, each kind in its
    /// order.
    #[must_use]
    pub fn in_zone(mut self, zone: Option<String>) -> Self {
        let is_near = |server: &Server| zone.is_some() && server.zone == zone;
        self.servers.sort_by_key(|server| !is_near(server));
        self.near = self.servers.iter().filter(|server| is_near(server)).count();
        Self { zone, ..self }
    }

    /// The servers, for messages and names of what is kept of them: without users and passwords.
    pub fn place(&self) -> String {
        self.servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    /// Host and port of each server.
    pub fn addresses(&self) -> impl Iterator<Item = (&str, u16)> {
        self.servers.iter().map(|server| (server.host.as_str(), server.port))
    }
}

/// Whose certificates are believed when a server is spoken to over TLS (`https`).
#[derive(Clone)]
pub struct EurekaTls(pub(crate) Arc<Trust>);

impl EurekaTls {
    /// Believes Mozilla's roots, and the certificates of this file (`--eureka-ca`).
    ///
    /// # Errors
    /// When the file cannot be read, or has anything but certificates that may be trusted.
    pub fn new(ca: Option<&Path>) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(Trust::new(FLAG, ca)?)))
    }
}

impl Default for EurekaTls {
    fn default() -> Self {
        Self(Arc::new(Trust::mozilla(FLAG)))
    }
}

/// What names more CAs.
const FLAG: &str = "--eureka-ca";

impl fmt::Debug for EurekaTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EurekaTls").finish_non_exhaustive()
    }
}

/// One server, by the URL below which its `apps` are. Displayed without user and password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) zone: Option<String>,
    pub(crate) is_tls: bool,
    /// Without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Host and port as they are written into a request.
    pub(crate) authority: String,
    /// Begins with a slash, unless it is empty, and does not end with one.
    pub(crate) path: String,
    /// `Authorization`.
    pub(crate) credentials: Option<HeaderValue>,
}

impl Server {
    fn read(url: &str) -> Result<Self, String> {
        // What is wrong is shown without what may be a password.
        let shown = without_user(url);
        let wrong = |what: &str| format!("`{}` {what}: {EXPECTED}", shown.escape_debug());
        let (zone, url) = match url.split_once('=').filter(|(zone, _)| !zone.contains("://")) {
            Some((zone, _)) if !is_zone(zone.trim()) => {
                return Err(wrong("has a zone that is none (1 to 64 letters, digits and . _ -)"));
            }
            Some((zone, url)) => (Some(zone.trim().to_owned()), url.trim()),
            None => (None, url),
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("has no scheme"))?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(wrong("is neither http nor https")),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if path.contains(['?', '#']) {
            return Err(wrong("has a query or a fragment"));
        }
        let (user, authority) = match authority.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, authority),
        };
        let uri: Uri = format!("{scheme}://{authority}{path}").parse().map_err(|_| wrong("is not a URL"))?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("has no host"))?;
        let behind = authority.strip_prefix(host).unwrap_or_default();
        let port = match behind.strip_prefix(':') {
            None => {
                if is_tls {
                    443
                } else {
                    80
                }
            }
            Some(port) => {
                port.parse().ok().filter(|port| *port != 0).ok_or_else(|| wrong("has no port from 1 to 65535"))?
            }
        };
        let credentials = user.map(credentials).transpose().map_err(|reason| wrong(&reason))?;
        Ok(Self {
            zone,
            is_tls,
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port,
            authority: authority.to_owned(),
            path: path.trim_end_matches('/').to_owned(),
            credentials,
        })
    }
}

fn is_zone(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=64).contains(&text.len()) && text.chars().all(fits)
}

/// `USER:PASSWORD`, as they stand in a URL.
fn credentials(text: &str) -> Result<HeaderValue, String> {
    let (user, password) = text.split_once(':').ok_or("has a user without a password (USER:PASSWORD@HOST)")?;
    let plain = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    let pair = [plain(user), plain(password)].join(&b':');
    let mut value =
        HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair))).map_err(|error| error.to_string())?;
    value.set_sensitive(true);
    Ok(value)
}

fn without_user(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    if scheme.is_empty() { rest.to_owned() } else { format!("{scheme}://{rest}") }
}

/// URLs as they may be shown: without users and passwords.
pub fn without_passwords(urls: &str) -> String {
    urls.split(',').map(|url| without_user(url.trim())).collect::<Vec<_>>().join(",")
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http{}://{}{}", if self.is_tls { "s" } else { "" }, self.authority, self.path)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(urls: &str) -> Result<EurekaOptions, String> {
        EurekaOptions::new(urls, EurekaTls::default())
    }

    #[test]
    fn servers() {
        for (urls, expect) in [
            ("http://eureka:8761/eureka/", &[("eureka", 8761, "/eureka", false)][..]),
            (" http://e1/eureka ,https://e2/a/b/, ", &[("e1", 80, "/eureka", false), ("e2", 443, "/a/b", true)]),
            ("HTTP://[::1]:1", &[("::1", 1, "", false)]),
            ("http://bob:pa%40ss@e:1/eureka", &[("e", 1, "/eureka", false)]),
        ] {
            let options = options(urls).expect(urls);
            let servers = options.servers.iter();
            let servers: Vec<_> =
                servers.map(|one| (one.host.as_str(), one.port, one.path.as_str(), one.is_tls)).collect();
            assert_eq!(servers, expect, "{urls}");
        }
        let many = vec!["http://e/"; 17].join(",");
        for (urls, expect) in [
            ("", "no server"),
            (" , ", "no server"),
            ("eureka:8761", "has no scheme"),
            ("ftp://e/", "neither http nor https"),
            ("http:///eureka", "not a URL"),
            ("http://e:0/", "no port"),
            ("http://e:99999/", "no"),
            ("http://e:x/", "no"),
            ("http://e/?a=b", "query"),
            ("http://bob@e/", "without a password"),
            ("http://a b/", "not a URL"),
            ("=http://e/", "has a zone that is none"),
            ("a b=http://e/", "has a zone that is none"),
            ("a=b=http://e/", "neither http nor https"),
            ("a=", "has no scheme"),
            (&many, "at most 16"),
        ] {
            let error = options(urls).expect_err(urls);
            assert!(error.contains(expect) && error.contains("expected"), "{urls}: {error}");
        }
    }

    #[test]
    fn servers_of_the_own_zone_come_first() {
        let urls = "http://e1/, b=http://e2/x=y,a = http://u:p=@e3/ ,http://e4/,a=http://e5/";
        for (zone, near, expect) in [
            (None, 0, ["e1", "e2", "e3", "e4", "e5"]),
            (Some("a"), 2, ["e3", "e5", "e1", "e2", "e4"]),
            (Some("b"), 1, ["e2", "e1", "e3", "e4", "e5"]),
            (Some("c"), 0, ["e1", "e2", "e3", "e4", "e5"]),
            (Some("A"), 0, ["e1", "e2", "e3", "e4", "e5"]),
        ] {
            let options = options(urls).expect(urls).in_zone(zone.map(str::to_owned));
            let hosts: Vec<_> = options.servers.iter().map(|server| server.host.as_str()).collect();
            assert_eq!((options.near, &hosts[..]), (near, &expect[..]), "{zone:?}");
            assert!(!format!("{options:?} {}", options.place()).contains("p="), "{options:?}");
        }
    }

    #[test]
    fn passwords_are_sent_and_never_shown() {
        let url = "http://bob:pa%40s%3As@e:1/eureka/,http://e2:2/eureka";
        let options = options(url).expect(url);
        let sent = options.servers[0].credentials.as_ref().expect("some");
        assert_eq!(sent.as_bytes(), format!("Basic {}", STANDARD.encode("bob:pa@s:s")).as_bytes());
        let shown = format!("{options:?} {} {}", options.place(), without_passwords(url));
        assert!(!shown.contains("bob") && !shown.contains("pa%") && !shown.contains("pa@"), "{shown}");
        assert_eq!(options.place(), "http://e:1/eureka,http://e2:2/eureka");
        for url in ["bob:s3cret@e:1", "http://bob:s3cret@e:x/", "ftp://bob:s3cret@e/", "http://bob:s3cr@et@e:0/"] {
            let error = self::options(url).expect_err(url);
            assert!(!error.contains("s3cr") && !error.contains("bob"), "{error}");
        }
    }
}
