//! The program as a process: its version, and its exit codes.

#[path = "../../tests/shared/process.rs"]
mod process;

const PROGRAM: &str = env!("CARGO_BIN_EXE_grayctl");

#[test]
fn it_tells_its_version() {
    for flag in ["-V", "--version"] {
        let process::Outcome { code, out, err } = process::run(PROGRAM, &[flag], &[]);
        let version = gray_common::release::version();
        assert_eq!((code, out, err), (0, format!("grayctl {version}\n"), String::new()), "{flag}");
    }
}

#[test]
fn exit_codes_are_as_documented() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let (good, bad) = (file("good.yaml", b"gray: {}\n"), file("bad.yaml", b"gray: { ruls: [] }\n"));
    let gbk = file("gbk.yaml", b"gray: \xba\xbc");
    let empty = directory.path().join("empty");
    std::fs::create_dir(&empty).expect("made");
    let empty = empty.to_str().expect("UTF-8");
    for (code, args) in [
        (0, &["--help"][..]),
        (0, &["schema"]),
        (0, &["rules", "check", &good]),
        (1, &["rules", "check", &bad]),
        (1, &["rules", "check", &gbk]),
        (1, &["rules", "lint", "--gateway", "127.0.0.1:1"]),
        (1, &["rules", "explain", "--gateway", "http://127.0.0.1:1", "--path", "/order"]),
        (1, &["publish", "--nacos", "127.0.0.1:1", "--wait", "0", "--dir", "../deploy/nacos"]),
        (2, &[]),
        (2, &["rules"]),
        (2, &["rules", "check", "/nonexistent.yaml"]),
        (2, &["rules", "check", "-", "-"]),
        (2, &["rules", "explain", "--path", "order"]),
        (2, &["rules", "explain", "--path", "/", "--time", "tomorrow"]),
        (2, &["rules", "explain", "--path", "/", "--method", "G T"]),
        (2, &["rules", "explain", "--path", "/", "--ip", "1.2.3"]),
        (2, &["rules", "explain", "--path", "/", "-H", "x y: 1"]),
        (2, &["rules", "lint", "--gateway", "https://127.0.0.1:1"]),
        (2, &["rules", "lint", "--gateway", "gateway"]),
        (2, &["rules", "replay", "/nonexistent.yaml"]),
        (2, &["publish", "--nacos", "foo:99999", "--dir", "../deploy/nacos"]),
        (2, &["publish", "--dir", "/nonexistent"]),
        (2, &["publish", "--dir", empty]),
        (2, &["demo", "--config", "/nonexistent"]),
        (2, &["demo", "--with", "redis"]),
        (2, &["demo", "--with", "kafka", "--with", "rabbitmq"]),
        (2, &["nonsense"]),
    ] {
        let process::Outcome { code: was, out, err } = process::run(PROGRAM, args, &[]);
        assert_eq!(was, code, "{args:?}\n{out}{err}");
        assert!(code != 2 || (out.is_empty() && !err.is_empty()), "{args:?}\n{out}{err}");
    }
}

#[test]
fn check_reads_standard_input() {
    use std::{
        io::Write as _,
        process::{Command, Stdio},
    };
    for (text, code, says) in [("gray: {}\n", 0, "(stdin): "), ("gray:\n  ruls: []\n", 1, "(stdin):2: gray.ruls")] {
        let mut child = Command::new(PROGRAM)
            .args(["rules", "check", "-"])
            .env_remove("GRAY_PREFIX")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("written");
        let output = child.wait_with_output().expect("ends");
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.code() == Some(code) && out.contains(says), "{}\n{out}", output.status);
    }
}
