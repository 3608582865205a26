//! `grayctl publish` as a process, at a server that answers as Nacos does.

#[path = "../../tests/shared/process.rs"]
mod process;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use process::{Outcome, run};

const COMMON: &str = "kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 } }\n";
const RULES: &str = "gray:\n  rules: [{ name: a, when: { header.x: 1 }, lane: gray }]\n";

/// Documents by data id; `None`: the namespace is not there either.
type Documents = Arc<Mutex<BTreeMap<String, String>>>;

/// As 2.x answers, or as 3.x does.
fn nacos(documents: &Documents, is_v3: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("bound").to_string();
    let documents = Arc::clone(documents);
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            answer(socket, &documents, is_v3);
        }
    });
    address
}

fn answer(mut socket: TcpStream, documents: &Documents, is_v3: bool) {
    let mut reader = BufReader::new(socket.try_clone().expect("clones"));
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let from = head.len();
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
        if let Some(value) = head[from..].to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("reads");
    let body = String::from_utf8(body).expect("UTF-8");
    let mut line = head.split(' ');
    let (method, target) = (line.next().expect("a method"), line.next().expect("a target"));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let field = |name: &str| {
        let fields = query.split('&').chain(body.split('&')).filter_map(|field| field.split_once('='));
        fields.into_iter().find(|(key, _)| *key == name).map(|(_, value)| decoded(value)).unwrap_or_default()
    };
    let mut documents = documents.lock().expect("sound");
    let envelope = |data: serde_json::Value| ("200 OK", serde_json::json!({ "code": 0, "data": data }).to_string());
    let (status, text) = match (is_v3, method, path.trim_start_matches("/nacos/")) {
        (false, "GET", "v1/console/health/readiness") => ("200 OK", "OK".to_owned()),
        (false, "GET", "v1/console/namespaces") => ("200 OK", r#"{"data":[{"namespace":"n"}]}"#.to_owned()),
        (false, "GET", "v1/cs/configs") => match documents.get(&field("dataId")) {
            Some(text) => ("200 OK", text.clone()),
            None => ("404 Not Found", "config data not exist".to_owned()),
        },
        (false, "POST", "v1/cs/configs") => {
            documents.insert(field("dataId"), field("content"));
            ("200 OK", "true".to_owned())
        }
        (true, "GET", "v3/admin/core/state/readiness") => envelope("ok".into()),
        (true, "GET", "v3/admin/core/namespace/list") => envelope(serde_json::json!([{ "namespace": "n" }])),
        (true, "GET", "v3/admin/cs/config") => match documents.get(&field("dataId")) {
            Some(text) => envelope(serde_json::json!({ "content": text })),
            None => ("404 Not Found", r#"{"code":20004,"message":"resource not found","data":""}"#.to_owned()),
        },
        (true, "POST", "v3/admin/cs/config") => {
            assert_eq!([field("namespaceId"), field("groupName")], ["n", "DEFAULT_GROUP"]);
            documents.insert(field("dataId"), field("content"));
            envelope(true.into())
        }
        _ => ("404 Not Found", format!(r#"{{"status":404,"error":"Not Found","path":"{path}"}}"#)),
    };
    let bytes = text.len();
    drop(write!(socket, "HTTP/1.1 {status}\r\ncontent-length: {bytes}\r\nconnection: close\r\n\r\n{text}"));
}

fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, more @ ..] = rest {
        (rest, _) = match (first, more) {
            (b'%', [high, low, more @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).expect("a digit");
                let byte = u8::try_from(digit(high) * 16 + digit(low)).expect("a byte");
                (more, bytes.push(byte))
            }
            (b'+', more) => (more, bytes.push(b' ')),
            (byte, more) => (more, bytes.push(*byte)),
        };
    }
    String::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn it_checks_shows_and_asks_before_it_writes() {
    [false, true].into_iter().for_each(publishes);
}

fn publishes(is_v3: bool) {
    let edited = COMMON.replace("V2", "V3");
    let unread = "gray:\n  ruls: []\n";
    let all = [("common-config.yaml", COMMON), ("gray-rules.yaml", RULES)];
    struct Case<'c> {
        there: &'c [(&'c str, &'c str)],
        local: &'c [(&'c str, &'c str)],
        flags: &'c [&'c str],
        code: i32,
        says: &'c [&'c str],
        /// What is on the server afterwards; nothing: as before.
        after: Option<&'c [(&'c str, &'c str)]>,
    }
    for (at, case) in [
        Case {
            there: &[],
            local: &all,
            flags: &["--yes"],
            code: 0,
            says: &["new        common-config.yaml", "published  gray-rules.yaml"],
            after: Some(&all),
        },
        // Without a terminal there is no prompt.
        Case {
            there: &[],
            local: &all,
            flags: &[],
            code: 2,
            says: &["new        gray-rules.yaml", "nothing is written", "--yes"],
            after: None,
        },
        // Nothing to write is nothing to ask.
        Case { there: &all, local: &all, flags: &[], code: 0, says: &["unchanged  common-config.yaml"], after: None },
        Case {
            there: &[("common-config.yaml", &edited)],
            local: &all[..1],
            flags: &[],
            code: 0,
            says: &["kept       common-config.yaml", "--overwrite", "-kerwin", "+kerwin"],
            after: None,
        },
        Case {
            there: &[("common-config.yaml", &edited)],
            local: &all[..1],
            flags: &["--overwrite"],
            code: 2,
            says: &["differs    common-config.yaml", "--yes"],
            after: None,
        },
        Case {
            there: &[("common-config.yaml", &edited)],
            local: &all[..1],
            flags: &["--overwrite", "--yes"],
            code: 0,
            says: &["grayVersion: V3", "published  common-config.yaml"],
            after: Some(&all[..1]),
        },
        // One bad document, and the good one is not written either.
        Case {
            there: &[],
            local: &[all[0], ("gray-rules.yaml", unread)],
            flags: &["--yes"],
            code: 1,
            says: &["nothing is written", "gray-rules.yaml:2: gray.ruls: unknown key"],
            after: None,
        },
        // Judged with what the server has.
        Case {
            there: &[("common-config.yaml", COMMON)],
            local: &[("gray-rules.yaml", "gray: { default: v9 }\n")],
            flags: &["--yes"],
            code: 1,
            says: &["nothing is written", "there is no lane `v9`"],
            after: None,
        },
    ]
    .into_iter()
    .enumerate()
    {
        let map = |documents: &[(&str, &str)]| -> BTreeMap<String, String> {
            documents.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
        };
        let documents: Documents = Arc::new(Mutex::new(map(case.there)));
        let address = nacos(&documents, is_v3);
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in case.local {
            fs::write(directory.path().join(name), text).expect("written");
        }
        let dir = directory.path().to_str().expect("UTF-8");
        let line = [&["publish", "--nacos", &address, "--namespace", "n", "--dir", dir, "--wait", "5"][..], case.flags]
            .concat();
        let Outcome { code, out, err } = run(env!("CARGO_BIN_EXE_grayctl"), &line, &[]);
        assert_eq!(code, case.code, "case {at}, v3 {is_v3}:\n{out}{err}");
        for words in case.says {
            assert!(out.contains(words) || err.contains(words), "case {at}, {words}:\n{out}{err}");
        }
        assert_eq!(*documents.lock().expect("sound"), map(case.after.unwrap_or(case.there)), "case {at}");
    }
}

#[test]
fn a_bad_document_needs_no_server_to_be_told() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("common-config.yaml"), "kerwin.tool.gray.laod: true\n").expect("written");
    let dir = directory.path().to_str().expect("UTF-8");
    let Outcome { code, err, .. } =
        run(env!("CARGO_BIN_EXE_grayctl"), &["publish", "--nacos", "127.0.0.1:1", "--dir", dir], &[]);
    assert!(code == 1 && err.contains("did you mean `load`?"), "{code}\n{err}");
}
