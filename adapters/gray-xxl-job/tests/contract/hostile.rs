//! What arrives from those who have no business here.

use gray_xxl_job::Executor;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    admin::{DEADLINE, TOKEN, ask, ask_with, trigger},
    quick, stage,
};

const WITH_TOKEN: (&str, &str) = ("XXL-JOB-ACCESS-TOKEN", TOKEN);

#[tokio::test]
async fn without_the_token_nothing_is_told_or_done() {
    let (admin, executor, at, ..) = stage().await;
    let run = trigger(1, 1, "echo", "", "", 0).to_string();
    for headers in [&[][..], &[("XXL-JOB-ACCESS-TOKEN", "wrong")], &[WITH_TOKEN, WITH_TOKEN]] {
        for what in ["run", "gray/run", "beat", "idleBeat", "kill", "log", "other"] {
            let answer = ask_with(&at, what, run.clone(), headers).await;
            assert_eq!(
                (&answer["code"], &answer["msg"]),
                (&json!(500), &json!("The access token is wrong.")),
                "{what}"
            );
        }
    }
    let page = ask_with(&at, "run", run.clone(), &[WITH_TOKEN, ("Origin", "http://evil.example")]).await;
    assert_eq!(page["code"], 500, "a web page");
    assert_eq!(executor.running(), 0);
    assert_eq!(ask_with(&at, "run", run, &[WITH_TOKEN]).await["code"], 200);
    assert_eq!(admin.ended(1).await.0, 200);
    executor.stop(quick()).await;
}

#[tokio::test]
async fn bodies_are_bounded() {
    let (admin, executor, at, ..) = stage().await;
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let large = trigger(1, 1, "echo", &"x".repeat(300 << 10), "", 0).to_string();
    for body in ["", "{}", "null", "[]", r#"{"jobId":"x","logId":{}}"#, "\u{0}", &deep[..100_000], &large] {
        let answer = ask_with(&at, "run", body.to_owned(), &[WITH_TOKEN]).await;
        assert_eq!(answer["code"], 500, "{:.40}", body);
    }
    for (what, body) in [("kill", "{}"), ("idleBeat", "7"), ("log", r#"{"logId":1e99}"#), ("", "{}"), ("../run", "{}")]
    {
        assert_eq!(ask_with(&at, what, body.to_owned(), &[WITH_TOKEN]).await["code"], 500, "{what}");
    }
    let odd = json!({"logId": i64::MIN, "fromLineNum": i64::MIN, "unknown": [[[1]]]});
    assert_eq!(ask(&at, "log", &odd).await["content"]["isEnd"], true);
    assert_eq!(ask(&at, "run", &trigger(i64::MIN, i64::MAX, "echo", "", "", i64::MIN)).await["code"], 200);
    assert_eq!(admin.ended(i64::MAX).await.0, 200);
    executor.stop(quick()).await;
}

#[tokio::test]
async fn a_flood_of_runs_is_bounded() {
    let (_admin, executor, at, ..) = stage().await;
    let mut codes = std::collections::BTreeMap::new();
    for log in 0..80 {
        let answer = ask(&at, "run", &trigger(1, log, "hang", "", "", 0)).await;
        *codes.entry(answer["code"].as_i64()).or_insert(0) += 1;
    }
    assert_eq!(codes, [(Some(200), 65), (Some(500), 15)].into(), "one runs, 64 wait");
    assert_eq!(executor.running(), 1);
    drop(executor);
}

#[tokio::test]
async fn parameters_that_wait_are_bounded() {
    let (_admin, executor, at, ..) = stage().await;
    let params = "x".repeat(200 << 10);
    let (mut taken, mut refused) = (0, 0);
    for log in 0..50 {
        let answer = ask(&at, "run", &trigger(1, log, "hang", &params, "", 0)).await;
        match answer["code"].as_i64() {
            Some(200) => taken += 1,
            _ if answer["msg"].as_str().is_some_and(|text| text.contains("runs that wait take")) => refused += 1,
            _ => panic!("{answer}"),
        }
    }
    assert_eq!((taken, refused), (41, 9), "one runs, and 8 MiB wait");
    drop(executor);
}

/// Talks HTTP by hand; what was answered before the connection ended.
async fn raw(executor: &Executor, text: &[u8]) -> String {
    let mut stream = TcpStream::connect(executor.local_addr()).await.expect("connects");
    stream.write_all(text).await.expect("sent");
    let mut answer = Vec::new();
    // A reset is an end as well.
    drop(timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("an end in time"));
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn heads_are_bounded() {
    let (_admin, executor, ..) = stage().await;
    for (what, text, expect) in [
        ("no HTTP", "\u{16}\u{3}\u{1}hello\r\n\r\n".to_owned(), ""),
        ("a GET", "GET /run HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "only POST"),
        ("a long head", format!("POST /run HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(40_000)), ""),
        ("many fields", format!("POST /run HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(80)), ""),
        (
            "a body that is not read",
            "POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n".to_owned(),
            "token",
        ),
    ] {
        let answer = raw(&executor, text.as_bytes()).await;
        assert!(answer.contains(expect) && !answer.contains("\"code\":200"), "{what}: {answer}");
    }
    drop(executor);
}

#[tokio::test]
async fn what_a_handler_says_is_bounded_for_the_scheduler() {
    let (admin, executor, at, ..) = stage().await;
    assert_eq!(ask(&at, "run", &trigger(1, 1, "echo", &"长".repeat(20_000), "", 0)).await["code"], 200);
    let (code, message) = admin.ended(1).await;
    assert!(code == 200 && message.len() <= 4096, "{code}, {} bytes", message.len());
    let log: Value = ask(&at, "log", &json!({"logId": 1, "fromLineNum": 1})).await;
    assert!(log["content"]["logContent"].as_str().is_some_and(|text| text.len() < 6000), "{log:.100}");
    executor.stop(quick()).await;
}
