use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    os::fd::OwnedFd,
    path::Path,
    sync::mpsc::{Receiver, SyncSender},
    thread,
    time::{Duration, Instant},
};

use http::Version;
use proptest::prelude::*;
use serde_json::Value;

use super::*;

const FORMATS: [AccessLogFormat; 2] = [AccessLogFormat::Text, AccessLogFormat::Json];

fn entry() -> Entry<'static> {
    Entry {
        began: Instant::now(),
        duration: Duration::from_micros(1234),
        client: [10, 0, 0, 7].into(),
        method: b"GET",
        target: b"/api/x?a=1",
        version: Version::HTTP_11,
        status: Some(200),
        sent: 512,
        received: 0,
        upstream: Some(Duration::from_micros(1100)),
        route: Some("app"),
        lane: Some("gray"),
        rule: Some("城市"),
        service: Some("user-app"),
        instance: Some("10.0.0.8:7201"),
        end: End::Complete,
        request_id: Some(b"6f1c2d"),
    }
}

/// What is known of nearly nothing.
fn bare() -> Entry<'static> {
    Entry {
        status: None,
        upstream: None,
        route: None,
        lane: None,
        rule: None,
        service: None,
        instance: None,
        end: End::ClientGone,
        request_id: None,
        ..entry()
    }
}

fn line(format: AccessLogFormat, entry: &Entry<'_>) -> String {
    let mut out = Vec::new();
    LineWriter::new(format).write(entry, &mut out);
    String::from_utf8(out).expect("UTF-8")
}

fn json(entry: &Entry<'_>) -> Value {
    serde_json::from_str(&line(AccessLogFormat::Json, entry)).expect("JSON")
}

/// The bytes that `\xHH` stands for.
fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'\\' {
            let (digits, tail) = tail.strip_prefix(b"x").expect("x").split_at(2);
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).expect("digits"), 16).expect("digits"));
            rest = tail;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    bytes
}

/// The text between the brackets, and all behind them.
fn split(line: &str) -> (&str, &str) {
    line.split_once('[').and_then(|(_, rest)| rest.split_once(']')).expect("a time")
}

#[test]
fn text_is_the_common_log_format_and_more() {
    let full = line(AccessLogFormat::Text, &entry());
    assert!(full.starts_with("10.0.0.7 - - ["), "{full}");
    assert_eq!(
        split(&full).1,
        " \"GET /api/x?a=1 HTTP/1.1\" 200 512 received_bytes=0 duration_us=1234 upstream_us=1100 route=\"app\" \
         lane=\"gray\" rule=\"城市\" service=\"user-app\" instance=\"10.0.0.8:7201\" end=complete \
         request_id=\"6f1c2d\"\n"
    );
    assert_eq!(
        split(&line(AccessLogFormat::Text, &bare())).1,
        " \"GET /api/x?a=1 HTTP/1.1\" - 512 received_bytes=0 duration_us=1234 upstream_us=- route=- lane=- rule=- \
         service=- instance=- end=client-gone request_id=-\n"
    );
}

#[test]
fn json_has_what_is_known() {
    let mut seen = json(&entry());
    let time = seen.as_object_mut().and_then(|seen| seen.remove("time")).expect("a time");
    assert!(time.as_str().is_some_and(|time| time.len() == 27), "{time}");
    let common = serde_json::json!({
        "client": "10.0.0.7", "method": "GET", "target": "/api/x?a=1", "protocol": "HTTP/1.1",
        "sent_bytes": 512, "received_bytes": 0, "duration_us": 1234,
    });
    let mut expect = common.clone();
    for (key, value) in [
        ("route", "app"),
        ("lane", "gray"),
        ("rule", "城市"),
        ("service", "user-app"),
        ("instance", "10.0.0.8:7201"),
        ("end", "complete"),
        ("request_id", "6f1c2d"),
    ] {
        expect[key] = value.into();
    }
    expect["status"] = 200.into();
    expect["upstream_us"] = 1100.into();
    assert_eq!(seen, expect);

    let mut seen = json(&bare());
    seen.as_object_mut().expect("object").remove("time");
    let mut expect = common;
    expect["end"] = "client-gone".into();
    assert_eq!(seen, expect);
}

#[test]
fn times_are_those_of_the_wall_clock() {
    let mut writer = LineWriter::new(AccessLogFormat::Json);
    let now = jiff::Timestamp::now();
    // Out of order, and far apart, as requests end.
    for seconds in [0, 90, 3, 86_400, 0] {
        let Some(began) = Instant::now().checked_sub(Duration::from_secs(seconds)) else { continue };
        let mut out = Vec::new();
        writer.write(&Entry { began, ..entry() }, &mut out);
        let seen: Value = serde_json::from_slice(&out).expect("JSON");
        let seen: jiff::Timestamp = seen["time"].as_str().and_then(|time| time.parse().ok()).expect("a time");
        let expect = now - jiff::SignedDuration::from_secs(i64::try_from(seconds).expect("few"));
        assert!(seen.duration_since(expect).abs() < jiff::SignedDuration::from_secs(20), "{seen} {expect}");
    }
    let text = line(AccessLogFormat::Text, &entry());
    let seen = jiff::fmt::strtime::parse("%d/%b/%Y:%H:%M:%S %z", split(&text).0).and_then(|time| time.to_timestamp());
    let seen = seen.expect("a time");
    assert!(seen.duration_since(now).abs() < jiff::SignedDuration::from_secs(20), "{seen} {now}");
}

#[test]
fn addresses_and_versions() {
    for (address, expect) in [("::1", "::1"), ("::ffff:9.8.7.6", "9.8.7.6"), ("255.0.10.1", "255.0.10.1")] {
        assert_eq!(json(&Entry { client: address.parse().expect("address"), ..entry() })["client"], expect);
    }
    for (version, expect) in [(Version::HTTP_10, "HTTP/1.0"), (Version::HTTP_2, "HTTP/2.0")] {
        assert_eq!(json(&Entry { version, ..entry() })["protocol"], expect);
    }
    for end in End::ALL {
        assert_eq!(json(&Entry { end, ..entry() })["end"], end.as_str());
    }
}

#[test]
fn what_a_client_sends_has_a_limit() {
    let target = vec![0xff; 100_000];
    for format in FORMATS {
        let line = line(format, &Entry { target: &target, method: &target, request_id: Some(&target), ..entry() });
        assert!(line.len() < 48 * 1024, "{}", line.len());
        assert!(line.contains(r"xFF..."), "{format:?}");
    }
}

proptest! {
    #[test]
    fn a_line_is_one_line_and_tells_all_bytes(
        target in prop::collection::vec(any::<u8>(), 0..200),
        method in prop::collection::vec(any::<u8>(), 0..20),
        id in prop::collection::vec(any::<u8>(), 0..60),
        name in ".{0,40}",
        numbers in any::<[u64; 3]>(),
        status in any::<Option<u16>>(),
    ) {
        let [sent, received, us] = numbers;
        let name = name.as_str();
        let entry = Entry {
            target: &target,
            method: &method,
            request_id: Some(&id),
            route: Some(name),
            lane: Some(name),
            rule: Some(name),
            service: Some(name),
            instance: Some(name),
            sent,
            received,
            status,
            duration: Duration::from_micros(us),
            ..entry()
        };
        let text = line(AccessLogFormat::Json, &entry);
        prop_assert!(text.ends_with('\n') && !text.trim_end_matches('\n').bytes().any(|byte| byte < b' '));
        let seen: Value = serde_json::from_str(&text).expect("JSON");
        let field = |name: &str| unescaped(seen[name].as_str().expect("text"));
        prop_assert_eq!(field("target"), target.as_slice());
        prop_assert_eq!(field("method"), method.as_slice());
        prop_assert_eq!(field("request_id"), id.as_slice());
        for key in ["route", "lane", "rule", "service", "instance"] {
            prop_assert_eq!(field(key), name.as_bytes());
        }
        prop_assert_eq!(&seen["sent_bytes"], sent);
        prop_assert_eq!(&seen["received_bytes"], received);
        prop_assert_eq!(&seen["duration_us"], us);
        prop_assert_eq!(seen["status"].as_u64(), status.map(u64::from));

        let text = line(AccessLogFormat::Text, &entry);
        prop_assert!(text.ends_with('\n') && !text.trim_end_matches('\n').bytes().any(|byte| byte < b' '));
        // Quotes are ours alone: every second part is a field.
        let parts: Vec<&str> = text.split('"').collect();
        prop_assert_eq!(parts.len(), 2 * 7 + 1);
        let request = unescaped(parts[1]);
        prop_assert_eq!(request, [&method[..], b" ", &target, b" HTTP/1.1"].concat());
        prop_assert_eq!(unescaped(parts[13]), id.as_slice());
        prop_assert_eq!(unescaped(parts[3]), name.as_bytes());
    }
}

// ---- the way to the file

/// Joins the writer after the halves are dropped, but not for ever.
fn running(writer: Writer) -> Receiver<()> {
    let (end, ended): (SyncSender<()>, _) = sync_channel(1);
    thread::spawn(move || {
        writer.run();
        end.send(()).expect("waited for");
    });
    ended
}

fn soon(ended: &Receiver<()>) {
    ended.recv_timeout(Duration::from_secs(20)).expect("in time");
}

/// Waits for a state.
fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "never: {what}");
        thread::yield_now();
    }
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

#[test]
fn every_line_of_every_worker_arrives() {
    let directory = tempfile::tempdir().expect("directory");
    let options = AccessLogOptions { path: directory.path().join("access.log"), format: AccessLogFormat::Json };
    let stats = Stats::new(3);
    let (halves, write) = open(&options, 3, &stats).expect("opened");
    // More than the channel holds would be dropped, were nobody writing.
    const EACH: u64 = 20_000;
    let writer = thread::spawn(write);
    let threads: Vec<_> = halves
        .into_iter()
        .map(|log| {
            thread::spawn(move || {
                for number in 0..EACH {
                    log.log(&Entry { sent: number, ..entry() });
                    if number % 1000 == 0 {
                        log.flush();
                        assert!(log.is_empty());
                    }
                }
                log.finish();
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("logged");
    }
    writer.join().expect("written");
    let (mut seen, mut next) = (0, 0);
    for line in BufReader::new(File::open(&options.path).expect("file")).lines() {
        let value: Value = serde_json::from_str(&line.expect("line")).expect("JSON");
        next += value["sent_bytes"].as_u64().expect("number");
        seen += 1;
    }
    let dropped = stats.snapshot().log_dropped;
    assert_eq!(seen + dropped, 3 * EACH);
    if dropped == 0 {
        assert_eq!(next, 3 * (EACH - 1) * EACH / 2);
    }
    assert_eq!(stats.snapshot().log_failed, 0);
}

#[test]
fn a_writer_that_is_stuck_costs_lines_and_nothing_else() {
    let (mut reader, pipe) = io::pipe().expect("pipe");
    let stats = Stats::new(1);
    let output = Output::to(File::from(OwnedFd::from(pipe)));
    let (halves, writer) = connect(output, AccessLogFormat::Text, 1, &stats);
    let ended = running(writer);
    let log = halves.into_iter().next().expect("one");
    let mut logged: u64 = 0;
    // Nobody reads: the pipe is full, then the channel, then lines are dropped. None of these calls waits.
    while stats.snapshot().log_dropped == 0 {
        log.log(&entry());
        logged += 1;
        assert!(logged < 100_000, "nothing is dropped");
    }
    let held = logged - stats.snapshot().log_dropped;
    assert!(held as usize * line(AccessLogFormat::Text, &entry()).len() >= IN_TRANSIT * BUFFER, "{held}");
    log.log(&entry());
    logged += 1;
    // Somebody reads: what was kept arrives, the last flush included.
    let reader = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text.lines().count() as u64)
    });
    log.finish();
    drop(log);
    soon(&ended);
    let seen = reader.join().expect("joined").expect("read");
    assert_eq!(seen + stats.snapshot().log_dropped, logged);
}

#[test]
fn buffers_are_used_again() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("access.log");
    let stats = Stats::new(1);
    let (halves, writer) = connect(Output::open(&path).expect("opened"), AccessLogFormat::Text, 1, &stats);
    let ended = running(writer);
    let log = halves.into_iter().next().expect("one");
    let mut seen = std::collections::HashSet::new();
    for count in 1..=50 {
        log.log(&entry());
        seen.insert(log.pending.borrow().bytes.as_ptr());
        log.flush();
        until("it is written", || lines(&path) == count);
    }
    // One is on its way back while the next line is flushed, at worst.
    assert!(seen.len() <= SPARE + 2, "{}", seen.len());
    drop(log);
    soon(&ended);
}

#[test]
fn a_file_that_was_moved_or_deleted_is_opened_anew() {
    let directory = tempfile::tempdir().expect("directory");
    let (path, old) = (directory.path().join("access.log"), directory.path().join("access.log.1"));
    fs::write(&path, "before\n").expect("written");
    let stats = Stats::new(1);
    let (halves, writer) = connect(Output::open(&path).expect("opened"), AccessLogFormat::Text, 1, &stats);
    let ended = running(writer);
    let log = halves.into_iter().next().expect("one");
    let log_one = || {
        log.log(&entry());
        log.flush();
    };
    log_one();
    until("it is appended", || lines(&path) == 2);
    fs::rename(&path, &old).expect("moved");
    until("there is a new file", || {
        log_one();
        lines(&path) > 0
    });
    fs::remove_file(&path).expect("deleted");
    until("there is a new file", || {
        log_one();
        lines(&path) > 0
    });
    // Truncated in place (logrotate's copytruncate): lines start at the beginning again.
    fs::write(&path, "").expect("truncated");
    log_one();
    until("it is written", || fs::read(&path).is_ok_and(|bytes| bytes.starts_with(b"10.0.0.7 ")));
    log.finish();
    drop(log);
    soon(&ended);
    assert!(lines(&old) >= 2);
    assert_eq!(stats.snapshot().log_failed, 0);
}

#[test]
fn a_full_disk_is_counted_and_survived() {
    let stats = Stats::new(2);
    let options = AccessLogOptions { path: "/dev/full".into(), format: AccessLogFormat::Text };
    let (halves, write) = open(&options, 2, &stats).expect("opened");
    let ended = {
        let (end, ended) = sync_channel(1);
        thread::spawn(move || {
            write();
            end.send(()).expect("waited for");
        });
        ended
    };
    for _ in 0..5 {
        halves[1].log(&entry());
    }
    halves[1].flush();
    until("they are counted", || stats.snapshot().log_failed == 5);
    halves[1].log(&entry());
    halves[1].finish();
    drop(halves);
    soon(&ended);
    assert_eq!((stats.snapshot().log_failed, stats.snapshot().log_dropped), (6, 0));
}

#[test]
fn a_directory_that_is_gone_is_counted_and_survived() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("sub/access.log");
    fs::create_dir(directory.path().join("sub")).expect("made");
    let stats = Stats::new(1);
    let (halves, writer) = connect(Output::open(&path).expect("opened"), AccessLogFormat::Text, 1, &stats);
    let ended = running(writer);
    let log = halves.into_iter().next().expect("one");
    let log_one = || {
        log.log(&entry());
        log.flush();
    };
    fs::remove_dir_all(directory.path().join("sub")).expect("removed");
    until("lines are missed", || {
        log_one();
        stats.snapshot().log_failed > 0
    });
    fs::create_dir(directory.path().join("sub")).expect("made");
    until("it is back", || {
        log_one();
        lines(&path) > 0
    });
    drop(log);
    soon(&ended);
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let options = AccessLogOptions { path: "/nowhere/access.log".into(), format: AccessLogFormat::Text };
    let error = open(&options, 1, &Stats::new(1)).err().expect("an error");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    let text = error.to_string();
    assert!(text.starts_with("cannot open /nowhere/access.log for the access log: No such file"), "{text}");
}
