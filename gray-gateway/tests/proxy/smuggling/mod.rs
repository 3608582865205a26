//! One request in, one request out: what can be read in two ways is refused, and what is passed on can be read in one way only.
//!
//! Each case is a row: a name, bytes, and either the status of the refusal or the requests that the backend sees. Behind the
//! bytes comes one more request, the probe: after a refusal no instance sees it, else it is answered next. So a gateway that ends a
//! request anywhere else than the backend does is found out.

mod framing;
mod h2;
mod headers;
mod hop;
mod responses;
mod targets;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    support::{Backend, Client, Gateway, Seen, Setup, ok, soon},
    wire::{field, fields, read_body, read_head},
};

const PROBE: &str = "GET /api/probe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// What becomes of a case.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expect {
    /// One answer of this status, the end of the connection, and nothing at the backend.
    Refused(u16),
    /// Nothing but the end of the connection.
    Closed,
    /// An answer of this status, and nothing at the backend; the connection goes on.
    Answered(u16),
    /// These requests, and no others: their lines and bodies.
    Seen(&'static [(&'static str, &'static str)]),
}

use Expect::{Answered, Closed, Refused, Seen as Passed};

/// A gateway before a backend that writes down what it sees.
pub(super) struct Bench {
    pub(super) gateway: Gateway,
    pub(super) backend: Backend,
}

impl Bench {
    pub(super) async fn new() -> Self {
        let backend = Backend::serving(|seen| (ok(seen.line()), true)).await;
        let routes = "[{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'], filters: ['StripPrefix=1'] }]";
        let gateway = Setup::with_routes(routes, &[backend.instance("V1")]).start();
        Self { gateway, backend }
    }

    pub(super) async fn check(&self, name: &str, bytes: &[u8], expect: Expect) {
        let before = self.backend.seen().len();
        let mut client = self.gateway.client().await;
        // A refusal may come before all of it is sent.
        let _sent = soon(client.socket.write_all(&[bytes, PROBE.as_bytes()].concat())).await;
        let (status, more): (_, &[_]) = match expect {
            Refused(status) => (Some(status), &[]),
            Answered(status) => (Some(status), &[200]),
            Closed => (None, &[]),
            Passed(requests) => {
                for (line, _) in requests {
                    let answer = answer(&mut client).await.unwrap_or_else(|| panic!("{name}: no answer"));
                    assert_eq!(answer, (200, (*line).to_owned()), "{name}");
                }
                (None, &[200])
            }
        };
        for status in status.iter().chain(more) {
            let answer = answer(&mut client).await.map(|(status, _)| status);
            assert_eq!(answer, Some(*status), "{name}");
        }
        assert!(is_over(client).await, "{name}: something behind the last answer");
        let seen = self.backend.seen().split_off(before);
        let mut expected: Vec<(&str, &str)> =
            if let Passed(requests) = expect { requests.to_vec() } else { Vec::new() };
        if matches!(expect, Passed(_) | Answered(_)) {
            expected.push(("GET /probe HTTP/1.1", ""));
        }
        let found: Vec<_> = seen.iter().map(|seen| (seen.line(), String::from_utf8_lossy(&seen.body))).collect();
        assert_eq!(found.len(), expected.len(), "{name}: {found:?}");
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!((found.0, &*found.1), *expected, "{name}");
        }
        seen.iter().for_each(|seen| unambiguous(name, seen));
    }

    /// Every row, and then an honest client.
    pub(super) async fn check_all<'c>(&self, cases: impl IntoIterator<Item = (&'c str, Vec<u8>, Expect)>) {
        for (name, bytes, expect) in cases {
            self.check(name, &bytes, expect).await;
        }
        assert_eq!(self.gateway.get("").await.status, 200);
    }
}

/// Status and body of the next answer.
async fn answer(client: &mut Client) -> Option<(u16, String)> {
    let head = soon(read_head(&mut client.socket, &mut client.buffer)).await?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = soon(read_body(&mut client.socket, &mut client.buffer, &head)).await?;
    Some((status, String::from_utf8_lossy(&body).into_owned()))
}

async fn is_over(mut client: Client) -> bool {
    // A reset is an end as well.
    let _ended = soon(client.socket.read_to_end(&mut client.buffer)).await;
    client.buffer.is_empty()
}

/// Whether every backend reads this request alike, however lenient it is.
pub(super) fn unambiguous(name: &str, seen: &Seen) {
    let head = &seen.head;
    let bytes = head.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let fine = match byte {
            b'\r' => bytes.get(at + 1) == Some(&b'\n'),
            b'\n' => at > 0 && bytes[at - 1] == b'\r',
            b'\t' => true,
            byte => *byte >= b' ' && *byte != 0x7f,
        };
        assert!(fine, "{name}: byte {byte} at {at} of {head:?}");
    }
    let line: Vec<_> = seen.line().split(' ').collect();
    assert!(line.len() == 3 && line[1].starts_with('/') && line[2] == "HTTP/1.1", "{name}: {head:?}");
    for line in head.lines().skip(1).filter(|line| !line.is_empty()) {
        let (field, _) = line.split_once(':').unwrap_or_else(|| panic!("{name}: {line:?} in {head:?}"));
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        assert!(!field.is_empty() && field.bytes().all(is_token), "{name}: {line:?} in {head:?}");
    }
    // As a backend counts that takes `_` and `.` for `-`.
    let like = |known: &str| {
        let folded = |field: &str| field.to_ascii_lowercase().replace(['_', '.'], "-");
        fields(head).filter(|(field, _)| folded(field) == known).count()
    };
    assert_eq!(like("host"), 1, "{name}: {head:?}");
    assert!(like("content-length") + like("transfer-encoding") <= 1, "{name}: {head:?}");
    assert!(field(head, "transfer-encoding").is_none_or(|coding| coding.eq_ignore_ascii_case("chunked")), "{name}");
    let length = field(head, "content-length");
    assert!(length.is_none_or(|length| length.parse() == Ok(seen.body.len())), "{name}: {head:?}");
    for ours in ["gray", "gray-lane", "gray-caller", "forwarded", "x-forwarded-for", "x-forwarded-proto"] {
        assert_eq!(like(ours), 1, "{name}: {ours} in {head:?}");
    }
    assert_eq!(seen.one("gray"), "PROD", "{name}");
    assert_eq!(seen.one("x-forwarded-for"), "127.0.0.1", "{name}");
    for ends_here in ["connection", "keep-alive", "proxy-connection", "upgrade", "te", "trailer", "proxy-authorization"]
    {
        // A wish for a websocket is passed on, in our words.
        let joins = field(head, "connection") == Some("Upgrade") && field(head, "upgrade") == Some("websocket");
        let tolerated = match ends_here {
            "te" => field(head, "te") == Some("trailers"),
            "connection" | "upgrade" => joins && like("connection") == 1 && like("upgrade") == 1,
            ends_here => ends_here == "trailer",
        };
        assert!(like(ends_here) == 0 || tolerated, "{name}: {ends_here} in {head:?}");
    }
}
