//! `healthcheck`: asks the process next door, without an HTTP client.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(2);
/// More than a readiness answer ever has.
const MOST: u64 = 16 * 1024;

/// Asks `GET /readyz` of the process that listens on `bind`. `Err` says why it is not ready. Blocks up to some seconds.
pub fn healthcheck(bind: IpAddr, port: u16) -> Result<(), String> {
    let host = if bind.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { bind };
    let address = SocketAddr::new(host, port);
    let answer = ask(address).map_err(|error| format!("{address} does not answer: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    match (head.starts_with("HTTP/1."), status) {
        (true, "200") => Ok(()),
        (true, status) => Err(format!("{address} is not ready ({status}): {}", body.trim())),
        (false, _) => Err(format!("what listens on {address} does not speak HTTP")),
    }
}

fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    // In one piece: `write!` on the stream would send a packet for every part of the format.
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    fn answering(answer: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let port = listener.local_addr().expect("bound").port();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accepts");
            let mut request = [0; 1024];
            let read = stream.read(&mut request).expect("reads");
            assert!(request[..read].starts_with(b"GET /readyz HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).expect("writes");
        });
        port
    }

    #[test]
    fn the_status_decides() {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        assert_eq!(healthcheck(any, answering("HTTP/1.1 200 OK\r\n\r\n{}")), Ok(()));
        let error = healthcheck(any, answering("HTTP/1.1 503 No\r\n\r\n{\"reasons\":[\"why\"]}")).expect_err("503");
        assert!(error.contains("not ready (503)") && error.contains("why"), "{error}");
        for odd in ["", "SSH-2.0-x 200 y\r\n"] {
            let error = healthcheck(any, answering(odd)).expect_err("not HTTP");
            assert!(error.contains("does not speak HTTP"), "{error}");
        }
    }

    #[test]
    fn nobody_there_is_not_ready() {
        let port = TcpListener::bind("127.0.0.1:0").expect("binds").local_addr().expect("bound").port();
        let error = healthcheck(IpAddr::V4(Ipv4Addr::LOCALHOST), port).expect_err("closed");
        assert!(error.contains("does not answer"), "{error}");
    }
}
