//! A request in one line, with what the instance answers: `GET /a?q=1 | X-A: 1 => 302 | Location: /b`.

use std::{fmt, str::FromStr, time::Duration};

use anyhow::{Context as _, Error, Result};

/// The client's `Host` where a request names none.
pub const HOST: &str = "shop.example";
/// Not a field: the body that follows.
const BODY: &str = ":body";
/// Not a field: milliseconds that the instance takes.
const AFTER: &str = ":after";

/// Fields in their order.
pub type Fields = Vec<(String, String)>;

/// What is sent, and what the instance answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The target, as it stands on the wire.
    pub target: String,
    /// Fields, and `:body`.
    pub fields: Fields,
    /// One for each attempt; the last one for all that follow. Empty: 200.
    pub answers: Vec<Answer>,
}

/// What the instance answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status; 0 closes the connection without an answer.
    pub status: u16,
    /// Fields, and `:after`.
    pub fields: Fields,
}

impl Request {
    /// A request without any fields of its own.
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.to_owned(), target: target.to_owned(), fields: Vec::new(), answers: Vec::new() }
    }

    /// The values of a field, in their order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let found = self.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).collect()
    }

    /// Whether there is such a field.
    pub fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    /// What is sent as `Host`.
    pub fn host(&self) -> &str {
        self.all("host").first().copied().unwrap_or(HOST)
    }

    /// What goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.has("host") {
            out.push_str(&format!("Host: {HOST}\r\n"));
        }
        let mut body = None;
        for (name, value) in &self.fields {
            if name == BODY {
                body = Some(value);
                out.push_str(&format!("Content-Length: {}\r\n", value.len()));
            } else {
                out.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        out.push_str("Connection: close\r\n\r\n");
        out.push_str(body.map_or("", String::as_str));
        out.into_bytes()
    }
}

impl Answer {
    /// How long the instance takes.
    pub fn after(&self) -> Duration {
        let millis = self.fields.iter().find(|(name, _)| name == AFTER).and_then(|(_, value)| value.parse().ok());
        Duration::from_millis(millis.unwrap_or_default())
    }

    /// The fields that are sent.
    pub fn sent(&self) -> impl Iterator<Item = &(String, String)> {
        self.fields.iter().filter(|(name, _)| name != AFTER)
    }
}

/// `FIRST | Name: value | Name: value`
fn split(text: &str) -> Result<(&str, Fields)> {
    let mut parts = text.split(" | ");
    let first = parts.next().unwrap_or_default().trim();
    let fields = parts.map(|part| {
        // A name may begin with a colon.
        let colon =
            part.get(1..).and_then(|rest| rest.find(':')).with_context(|| format!("`{part}` is not a field"))?;
        let (name, value) = (&part[..=colon], &part[colon + 2..]);
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    });
    Ok((first, fields.collect::<Result<_>>()?))
}

impl FromStr for Request {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.split(" => ");
        let (line, fields) = split(parts.next().unwrap_or_default())?;
        let (method, target) =
            line.split_once(' ').with_context(|| format!("`{line}` is not a method and a target"))?;
        let answers = parts.map(|part| {
            let (status, fields) = split(part)?;
            Ok(Answer { status: status.parse().with_context(|| format!("`{status}` is not a status"))?, fields })
        });
        Ok(Self { answers: answers.collect::<Result<_>>()?, fields, ..Self::new(method, target) })
    }
}

fn write(f: &mut fmt::Formatter<'_>, fields: &Fields) -> fmt::Result {
    fields.iter().try_for_each(|(name, value)| write!(f, " | {name}: {value}"))
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.target)?;
        write(f, &self.fields)?;
        for answer in &self.answers {
            write!(f, " => {}", answer.status)?;
            write(f, &answer.fields)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Request;

    #[test]
    fn the_line_is_the_request() {
        let line = "POST /a|b?q=1 | X-A: 1: 2 | :body: text => 503 => 302 | Location: /b | :after: 20";
        let request: Request = line.parse().expect("valid");
        assert_eq!(request.to_string(), line);
        assert_eq!(
            String::from_utf8(request.bytes()).expect("text"),
            "POST /a|b?q=1 HTTP/1.1\r\nHost: shop.example\r\nX-A: 1: 2\r\nContent-Length: 4\r\nConnection: close\r\n\r\ntext"
        );
        assert_eq!(request.answers[1].after().as_millis(), 20);
        assert_eq!(request.answers[1].sent().count(), 1);
        for bad in ["GET", "GET /a | x", "GET /a => ok"] {
            assert!(bad.parse::<Request>().is_err(), "{bad}");
        }
    }
}
