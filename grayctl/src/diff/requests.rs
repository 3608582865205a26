//! The requests of a file: written by hand, or lines of an access log.
//!
//! By hand: `GET /path`, header lines below it, for other methods an empty line and a body; `###` or another request line ends a
//! request, `#` begins a comment. Of a log (ours in both formats, or any in the Common Log Format): method and target, each
//! combination once.

use std::collections::HashSet;

use serde::Deserialize;

/// Most requests of one file.
const MAX_REQUESTS: usize = 1_000_000;
/// Longest target.
const MAX_TARGET: usize = 16 * 1024;

/// A request as it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    /// Its line in the file.
    pub(super) line: usize,
    pub(super) method: String,
    /// As written: nothing in it is decoded or normalised.
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

/// Everything in a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Requests {
    pub(super) all: Vec<Request>,
    /// Lines of a log that are not of a request that can be sent again.
    pub(super) unread: usize,
}

#[derive(Deserialize)]
struct Logged {
    method: String,
    target: String,
}

/// Reads a file.
///
/// # Errors
/// What is wrong with which line.
pub(super) fn read(text: &str) -> Result<Requests, String> {
    let text = text.trim_start_matches('\u{feff}');
    let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let is_log = first.starts_with('{') || (request_line(first).is_none() && logged(first).is_some());
    let requests = if is_log { Ok(log(text)) } else { written(text) }?;
    if requests.all.len() > MAX_REQUESTS {
        return Err(format!("there are more than {MAX_REQUESTS} requests in it"));
    }
    Ok(requests)
}

fn log(text: &str) -> Requests {
    let (mut requests, mut seen) = (Requests::default(), HashSet::new());
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let logged = if line.starts_with('{') {
            serde_json::from_str(line).ok().map(|Logged { method, target }| (method, target))
        } else {
            logged(line)
        };
        // What the log has cut short, or what was no text, is not the request that came.
        let sound = logged.filter(|(method, target)| is_method(method) && !target.ends_with("..."));
        let sound =
            sound.and_then(|(method, target)| Some((method, unescaped(&target).filter(|target| is_target(target))?)));
        match sound {
            Some(request) if !seen.contains(&request) => {
                seen.insert(request.clone());
                let (method, target) = request;
                requests.all.push(Request { line: at + 1, method, target, ..Request::default() });
            }
            Some(_) => {}
            None => requests.unread += 1,
        }
    }
    requests
}

/// Method and target of a line of the Common Log Format: what is quoted first.
fn logged(line: &str) -> Option<(String, String)> {
    let quoted = line.split('"').nth(1)?;
    let mut words = quoted.split(' ');
    let (method, target, protocol) = (words.next()?, words.next()?, words.next()?);
    (protocol.starts_with("HTTP/") && words.next().is_none()).then(|| (method.to_owned(), target.to_owned()))
}

/// The text of a log with `\xHH` as what it stands for; `None`: that is no printable ASCII.
fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split("\\x");
    let mut whole = parts.next()?.to_owned();
    for part in parts {
        let byte = u8::from_str_radix(part.get(..2)?, 16).ok().filter(|byte| matches!(byte, b'!'..=b'~'))?;
        whole.push(char::from(byte));
        whole.push_str(part.get(2..)?);
    }
    Some(whole)
}

fn written(text: &str) -> Result<Requests, String> {
    let (mut requests, mut in_body) = (Requests::default(), false);
    for (at, line) in text.lines().enumerate() {
        let fail = |what: &str| Err(format!("line {}: {what}", at + 1));
        let trimmed = line.trim();
        if trimmed.starts_with("###") {
            in_body = false;
            continue;
        }
        if let Some((method, target)) = request_line(trimmed) {
            in_body = false;
            let (target, host) = without_authority(target);
            if !is_target(&target) {
                return fail("the target has to be a path as it is sent, in printable ASCII, without `#`");
            }
            let headers = host.map(|host| ("host".to_owned(), host)).into_iter().collect();
            requests.all.push(Request {
                line: at + 1,
                method: method.to_owned(),
                target,
                headers,
                body: String::new(),
            });
            continue;
        }
        if in_body {
            if let Some(request) = requests.all.last_mut() {
                request.body.push_str(line);
                request.body.push('\n');
            }
            continue;
        }
        match requests.all.last_mut() {
            _ if trimmed.starts_with('#') || trimmed.starts_with("//") => {}
            Some(request) if trimmed.is_empty() => in_body = !["GET", "HEAD"].contains(&&*request.method),
            _ if trimmed.is_empty() => {}
            Some(request) => {
                let Some((name, value)) = header(trimmed) else {
                    return fail("expected `METHOD /path`, `Name: value` or `###`");
                };
                request.headers.retain(|(known, _)| known != "host" || name != "host");
                request.headers.push((name, value));
            }
            None => return fail("expected a request, such as `GET /path`, or lines of an access log"),
        }
    }
    for request in &mut requests.all {
        request.body.truncate(request.body.trim_end().len());
    }
    Ok(requests)
}

/// `Name: value`, the name in small letters.
pub(super) fn header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let is_name =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
    let value = value.trim();
    let is_value = value.bytes().all(|byte| byte == b'\t' || byte >= b' ' && byte != 0x7f);
    (is_name && is_value).then(|| (name.to_ascii_lowercase(), value.to_owned()))
}

fn request_line(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?, words.next()?);
    let is_end = words.next().is_none_or(|word| word.starts_with("HTTP/")) && words.next().is_none();
    let is_target = target.starts_with('/') || target.starts_with("http://") || target.starts_with("https://");
    (is_method(method) && is_target && is_end).then_some((method, target))
}

/// The path of `http://host/path`, and the host.
fn without_authority(target: &str) -> (String, Option<String>) {
    let Some(rest) = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://")) else {
        return (target.to_owned(), None);
    };
    let (host, path) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
    let slash = if path.starts_with('/') { "" } else { "/" };
    (format!("{slash}{path}"), Some(host.to_owned()))
}

fn is_method(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn is_target(text: &str) -> bool {
    text.starts_with('/')
        && text.len() <= MAX_TARGET
        && text.bytes().all(|byte| matches!(byte, b'!'..=b'~') && byte != b'#')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let requests = read(text).expect("good");
        let show = |one: &Request| {
            let headers: Vec<_> = one.headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{} {} {} [{}] {:?}", one.line, one.method, one.target, headers.join(","), one.body)
        };
        requests.all.iter().map(show).collect()
    }

    #[test]
    fn requests_written_by_hand() {
        let text = "# all of them
GET /a//b%2Fc?x=1
HEAD /h HTTP/1.1
X-User: U1
Accept: text/plain

### the next
GET http://shop.example/c
Cookie: a=b; c=d

POST /p
Content-Type: application/json

{ \"a\": 1 }

b
###
GET /last";
        assert_eq!(
            shown(text),
            [
                "2 GET /a//b%2Fc?x=1 [] \"\"",
                "3 HEAD /h [x-user=U1,accept=text/plain] \"\"",
                "8 GET /c [host=shop.example,cookie=a=b; c=d] \"\"",
                "11 POST /p [content-type=application/json] \"{ \\\"a\\\": 1 }\\n\\nb\"",
                "18 GET /last [] \"\"",
            ]
        );
    }

    #[test]
    fn lines_of_access_logs_each_once() {
        let text = r#"10.0.0.1 - - [29/Nov/2026:10:00:00 +0000] "GET /a?x=1 HTTP/1.1" 200 12 route="a"
10.0.0.1 - - [29/Nov/2026:10:00:00 +0000] "GET /a?x=1 HTTP/1.1" 200 12
10.0.0.1 - - [29/Nov/2026:10:00:00 +0000] "GET /q\x22 HTTP/2.0" 200 12
10.0.0.1 - - [29/Nov/2026:10:00:00 +0000] "\x16\x03 / HTTP/1.1" 400 0
10.0.0.1 - - [29/Nov/2026:10:00:00 +0000] "-" 408 0
"#;
        assert_eq!(shown(text), ["1 GET /a?x=1 [] \"\"", "3 GET /q\" [] \"\""]);
        assert_eq!(read(text).expect("good").unread, 2);
        let json = r#"{"time":"x","client":"::1","method":"GET","target":"/b//c","status":200}
{"method":"GET","target":"/long..."}
{"method":"POST","target":"/p"}"#;
        assert_eq!(shown(json), ["1 GET /b//c [] \"\"", "3 POST /p [] \"\""]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, expect) in [
            ("hello", "line 1: expected a request"),
            ("GET /a\nnonsense here", "line 2: expected `METHOD /path`"),
            ("GET /a#b", "line 1: the target"),
            ("GET /é", "line 1: the target"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(expect), "{text}: {error}");
        }
        assert_eq!(read("").expect("empty"), Requests::default());
    }
}
