//! A load at a fixed rate: small GETs, evenly spaced, each sent when it is due or, with all connections busy, as soon as
//! one is free. Latency counts from when a request was due, so that waiting for a slow proxy is not left out.
//!
//! A process and a thread of its own without a runtime: timers of 1 ms would send in bursts.

use std::{
    collections::VecDeque,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    num::NonZeroU64,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::idle::{END, OK};

/// What may still come in after the last request was due.
const GRACE: Duration = Duration::from_secs(5);

/// Sends small GETs at a rate (used by the harness itself).
#[derive(Debug, Args)]
pub(crate) struct RateArgs {
    address: SocketAddr,
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    seconds: u32,
    connections: u32,
}

/// One connection, and the request that it carries.
struct Connection {
    socket: TcpStream,
    /// When the request was due.
    due: Option<Instant>,
    answer: Vec<u8>,
}

/// Prints a line like that of load/wrk.lua.
///
/// # Errors
/// When a connection fails, or an answer is not the one that is expected.
pub(crate) fn run(args: &RateArgs) -> Result<()> {
    // Without it the kernel may wake us 50 us late.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let open = || -> Result<Connection> {
        let socket = TcpStream::connect(args.address)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok(Connection { socket, due: None, answer: Vec::with_capacity(4096) })
    };
    let mut connections: Vec<Connection> = (0..args.connections).map(|_| open()).collect::<Result<_>>()?;
    let mut micros = load(args, &mut connections)?;
    micros.sort_unstable();
    let percentiles = percentiles(&micros).context("not one request was answered")?;
    let [p50, p99, p999] = percentiles;
    let line = serde_json::json!({
        "requests": micros.len(), "micros": u64::from(args.seconds) * 1_000_000, "p50": p50, "p99": p99, "p999": p999,
        "failed": 0, "unexpected": 0,
    });
    crate::print(&format!("RESULT {line}\n"));
    Ok(())
}

/// The 50th, 99th and 99.9th percentile of sorted values.
pub(crate) fn percentiles(sorted: &[u64]) -> Option<[f64; 3]> {
    let at = |share: f64| sorted.get((sorted.len() as f64 * share) as usize).map(|micros| *micros as f64);
    Some([at(0.5)?, at(0.99)?, at(0.999)?])
}

/// The latency of each request, in microseconds.
fn load(args: &RateArgs, connections: &mut [Connection]) -> Result<Vec<u64>> {
    let request = format!("GET /small HTTP/1.1\r\nhost: {}\r\nuserNo: U0001\r\n\r\n", args.address);
    let all = args.rate * args.seconds;
    let start = Instant::now();
    let due = |index: u32| start + Duration::from_nanos(u64::from(index) * 1_000_000_000 / u64::from(args.rate));
    let mut free: VecDeque<usize> = (0..connections.len()).collect();
    let (mut sent, mut micros) = (0, Vec::with_capacity(all as usize));
    while micros.len() < all as usize {
        let now = Instant::now();
        ensure!(
            now < due(all) + GRACE,
            "only {} of {all} requests were answered in time: too many for this machine, or too busy",
            micros.len()
        );
        while sent < all && due(sent) <= now {
            let Some(connection) = free.pop_front().and_then(|index| connections.get_mut(index)) else { break };
            // A request is far smaller than a socket's buffer.
            connection.socket.write_all(request.as_bytes())?;
            connection.due = Some(due(sent));
            sent += 1;
        }
        // With all connections busy the next thing to happen is an answer.
        let next = if sent < all && !free.is_empty() { due(sent) } else { now + Duration::from_millis(100) };
        for index in answered(connections, next.saturating_duration_since(now))? {
            let Some(connection) = connections.get_mut(index) else { continue };
            if let Some(due) = receive(connection)? {
                micros.push(u64::try_from(due.elapsed().as_micros())?);
                free.push_back(index);
            }
        }
    }
    Ok(micros)
}

/// The connections on which something came in, waited for so long at most.
fn answered(connections: &[Connection], limit: Duration) -> Result<Vec<usize>> {
    let mut polled: Vec<_> =
        connections.iter().map(|connection| PollFd::new(&connection.socket, PollFlags::IN)).collect();
    let limit = Timespec { tv_sec: i64::try_from(limit.as_secs())?, tv_nsec: limit.subsec_nanos().into() };
    match poll(&mut polled, Some(&limit)) {
        Err(error) if error != rustix::io::Errno::INTR => return Err(error.into()),
        _ => {}
    }
    Ok(polled.iter().enumerate().filter(|(_, fd)| !fd.revents().is_empty()).map(|(index, _)| index).collect())
}

/// Reads what is there; when the request was due, once it is answered.
fn receive(connection: &mut Connection) -> Result<Option<Instant>> {
    let mut buffer = [0; 4096];
    let count = match connection.socket.read(&mut buffer) {
        Ok(0) => bail!("a connection was closed"),
        Ok(count) => count,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    connection.answer.extend_from_slice(buffer.get(..count).unwrap_or_default());
    // As a chunk, it has more behind it.
    let ends = |answer: &[u8]| answer.ends_with(END) || answer.ends_with(&[END, b"\r\n0\r\n\r\n"].concat());
    if !ends(&connection.answer) {
        ensure!(connection.answer.len() < 16 * 1024, "an answer that does not end");
        return Ok(None);
    }
    let shown = || String::from_utf8_lossy(&connection.answer).into_owned();
    ensure!(connection.answer.starts_with(OK), "answered {:?}", shown());
    connection.answer.clear();
    let due = connection.due.take().context("an answer that nobody asked for")?;
    Ok(Some(due))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n\"fail\":false}";

    /// Answers one request after the other on one connection, each after a while.
    fn server(pause: Duration, answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("a client");
            let mut request = [0; 1024];
            while socket.read(&mut request).is_ok_and(|count| count > 0) {
                std::thread::sleep(pause);
                if socket.write_all(answer).is_err() {
                    return;
                }
            }
        });
        address
    }

    fn measured(address: SocketAddr, rate: u32) -> Result<Vec<u64>> {
        let socket = TcpStream::connect(address).expect("a server");
        socket.set_nonblocking(true).expect("a socket");
        let mut connections = [Connection { socket, due: None, answer: Vec::new() }];
        load(&RateArgs { address, rate, seconds: 1, connections: 1 }, &mut connections)
    }

    #[test]
    fn waiting_for_a_slow_server_counts() {
        // 100 a second, each taking 20 ms at least: the last one is due after 0.99 s, and answered after 2 s.
        let micros = measured(server(Duration::from_millis(20), ANSWER), 100).expect("answers");
        assert_eq!(micros.len(), 100);
        assert!(micros.iter().max().is_some_and(|most| *most > 900_000), "{micros:?}");
    }

    #[test]
    fn a_wrong_answer_is_an_error() {
        let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 13\r\n\r\n\"fail\":false}";
        let error = measured(server(Duration::ZERO, answer), 10).expect_err("503").to_string();
        assert!(error.contains("503"), "{error}");
    }
}
