//! `grayctl diff` as a process, between two small servers.

#[path = "../../tests/shared/process.rs"]
mod process;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use process::{Outcome, run};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_grayctl");

/// What a server was asked: method, target and some headers.
type Asked = Arc<Mutex<Vec<String>>>;

/// A server that answers each request line with this head and body.
fn server(answer: fn(&str) -> (String, String)) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let asked = Asked::default();
    let told = Arc::clone(&asked);
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let told = Arc::clone(&told);
            thread::spawn(move || serve(socket, answer, &told));
        }
    });
    (url, asked)
}

fn serve(mut socket: TcpStream, answer: fn(&str) -> (String, String), told: &Asked) {
    let mut reader = BufReader::new(socket.try_clone().expect("clones"));
    loop {
        let (mut lines, mut length) = (Vec::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            let line = line.trim_end().to_owned();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
            lines.push(line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        let body = String::from_utf8(body).expect("UTF-8");
        let kept = lines[1..].iter().filter(|line| line.starts_with("host") || line.starts_with("x-"));
        let kept: Vec<_> = kept.map(String::as_str).collect();
        told.lock().expect("sound").push(format!("{} [{}] {body}", lines[0], kept.join(", ")));
        let target = lines[0].split(' ').nth(1).expect("a target");
        let (head, body) = answer(target);
        let is_head = lines[0].starts_with("HEAD");
        let text = if is_head { "" } else { &*body };
        let length = body.len();
        if write!(socket, "HTTP/1.1 {head}\r\ncontent-length: {length}\r\ndate: x\r\n\r\n{text}").is_err() {
            return;
        }
    }
}

fn spring(target: &str) -> (String, String) {
    match target {
        "/redirect" => ("302 Found\r\nlocation: /there".into(), String::new()),
        "/cors" => ("200 OK\r\nvary: Origin\r\naccess-control-allow-origin: *".into(), "ok".into()),
        "/missing" => ("404 Not Found".into(), "{}".into()),
        "/json" => ("200 OK\r\ncontent-type: application/json".into(), r#"{"a":1,"port":"7101"}"#.into()),
        "/large" => ("200 OK".into(), "x".repeat(3 << 20)),
        _ => ("200 OK".into(), target.to_owned()),
    }
}

fn ours(target: &str) -> (String, String) {
    match target {
        "/cors" => ("200 OK\r\nvary: Origin".into(), "ok".into()),
        "/missing" => ("200 OK".into(), "{}".into()),
        "/json" => ("200 OK\r\ncontent-type: application/json".into(), r#"{ "port": "7102", "a": 1 }"#.into()),
        other => spring(other),
    }
}

fn diff(requests: &str, more: &[&str]) -> (Outcome, [Vec<String>; 2]) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("requests");
    fs::write(&file, requests).expect("written");
    let ((one, asked_one), (other, asked_other)) = (server(spring), server(ours));
    let file = file.to_str().expect("UTF-8");
    let line = ["diff", "--spring", &one, "--ours", &other, "--requests", file, "--rate", "1000"];
    let outcome = run(PROGRAM, &[&line[..], more].concat(), &[]);
    let asked = [asked_one, asked_other].map(|asked| asked.lock().expect("sound").clone());
    (outcome, asked)
}

#[test]
fn the_same_answers_are_exit_code_0() {
    let (Outcome { code, out, err }, asked) = diff(
        "GET /a//b%2Fc/../d?x=%7e\nx-own: 1\n\nHEAD /h\n\nGET /redirect\n\nGET /large",
        &["--host", "shop.example", "--parallel", "1"],
    );
    assert_eq!((code, out.trim()), (0, "4 requests: 4 the same"), "{err}");
    // As written, at both of them.
    assert_eq!(asked[0][0], "GET /a//b%2Fc/../d?x=%7e HTTP/1.1 [host: shop.example, x-own: 1] ");
    assert_eq!(asked[0], asked[1]);
}

#[test]
fn what_differs_is_listed_and_counted() {
    let requests = "GET /cors\n\nGET /missing\n\nGET /json\n\nGET /same\n\nPOST /p\n";
    let (Outcome { code, out, err }, asked) = diff(requests, &[]);
    assert_eq!(code, 1, "{out}{err}");
    for words in [
        "different  GET /cors (line 1)",
        "header access-control-allow-origin  * | (none)",
        "404 | 200",
        "body  /port: \"7101\" | \"7102\"",
        "5 requests",
        "4 requests: 1 the same, 3 different (body 1, header access-control-allow-origin 1, status 1)",
        "not sent: POST 1 (--unsafe-methods sends them)",
    ] {
        assert!(out.contains(words) == (words != "5 requests"), "{words}\n{out}{err}");
    }
    assert_eq!((asked[0].len(), asked[1].len()), (4, 4));
    let (Outcome { code, out, .. }, _) =
        diff("GET /cors\n\nGET /json", &["--ignore", "/port", "--ignore-header", "access-control-allow-origin"]);
    assert_eq!(code, 0, "{out}");
    let (Outcome { out, .. }, _) = diff(requests, &["--json"]);
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&report["same"], &report["different"], &report["skipped"]["POST"]), (&1.into(), &3.into(), &1.into()));
    assert_eq!(report["requests"][0]["target"], "/cors");
}

#[test]
fn other_methods_are_sent_when_that_is_asked_for() {
    let (Outcome { code, out, err }, asked) = diff("POST /p\nx-own: 1\n\n{ \"a\": 1 }\n", &["--unsafe-methods"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(asked[1][0].starts_with("POST /p HTTP/1.1 [") && asked[1][0].ends_with("{ \"a\": 1 }"), "{asked:?}");
}

#[test]
fn a_gateway_that_does_not_answer_is_a_failure() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("requests");
    fs::write(&file, "GET /a\n").expect("written");
    let (one, _) = server(spring);
    let line = ["diff", "--spring", &one, "--ours", "http://127.0.0.1:1", "--requests", file.to_str().expect("UTF-8")];
    let Outcome { code, out, .. } = run(PROGRAM, &line, &[]);
    assert!(code == 1 && out.contains("failed     GET /a") && out.contains("ours  cannot connect"), "{code}\n{out}");
    assert!(out.contains("1 request: 0 the same, 1 failed"), "{out}");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let (good, bad, posts) = (file("good", "GET /"), file("bad", "hello"), file("posts", "POST /"));
    let (one, other) = ("http://127.0.0.1:1", "http://127.0.0.1:2");
    for (args, says) in [
        (&["diff"][..], "--spring"),
        (&["diff", "--spring", one, "--ours", other, "--requests", "/nonexistent"], "cannot read"),
        (&["diff", "--spring", one, "--ours", other, "--requests", &bad], "line 1: expected a request"),
        (&["diff", "--spring", one, "--ours", other, "--requests", &posts], "--unsafe-methods"),
        (&["diff", "--spring", "ftp://a", "--ours", other, "--requests", &good], "neither http nor https"),
        (&["diff", "--spring", "http://a/path", "--ours", other, "--requests", &good], "more in it"),
        (&["diff", "--spring", one, "--ours", "a b", "--requests", &good], "--ours"),
        (&["diff", "--spring", one, "--ours", other, "--requests", &good, "--ignore", "a"], "JSON pointer"),
        (&["diff", "--spring", one, "--ours", other, "--requests", &good, "-H", "x y"], "Name: value"),
        (&["diff", "--spring", one, "--ours", other, "--requests", &good, "--rate", "0"], "--rate"),
        (&["diff", "--spring", "https://a", "--ours", other, "--requests", &good, "--ca", "/nonexistent"], "--ca"),
    ] {
        let Outcome { code, out, err } = run(PROGRAM, args, &[]);
        assert!(code == 2 && out.is_empty() && err.contains(says), "{args:?}: {code}\n{out}{err}");
    }
}
