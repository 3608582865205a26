//! From the workers' buffers to the file.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    os::fd::OwnedFd,
    path::Path,
    sync::mpsc::{Receiver, SyncSender},
    thread,
    time::{Duration, Instant},
};

use super::*;

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
    let (halves, write, _) = open(&options, 3, &stats).expect("opened");
    // More than the channel holds would be dropped, without the writer.
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
    let (halves, writer, _) = connect(output, AccessLogFormat::Text, 1, &stats);
    let ended = running(writer);
    let log = halves.into_iter().next().expect("one");
    let mut logged: u64 = 0;
    // The pipe is not read: it is full, then the channel, then lines are dropped. None of these calls waits.
    while stats.snapshot().log_dropped == 0 {
        log.log(&entry());
        logged += 1;
        assert!(logged < 100_000, "nothing is dropped");
    }
    let held = logged - stats.snapshot().log_dropped;
    assert!(held as usize * line(AccessLogFormat::Text, &entry()).len() >= IN_TRANSIT * BUFFER, "{held}");
    log.log(&entry());
    logged += 1;
    // The pipe is read: what was kept arrives, the last flush included.
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
    let (halves, writer, _) = connect(Output::open(&path).expect("opened"), AccessLogFormat::Text, 1, &stats);
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
    let (halves, writer, _) = connect(Output::open(&path).expect("opened"), AccessLogFormat::Text, 1, &stats);
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
    let (halves, write, _) = open(&options, 2, &stats).expect("opened");
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
    let (halves, writer, _) = connect(Output::open(&path).expect("opened"), AccessLogFormat::Text, 1, &stats);
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
