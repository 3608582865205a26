//! Active health checks: instances are asked whether they are well, off the request path.
//!
//! What a check finds goes into the endpoint's [`Load`], where picks look anyway.

use std::{collections::HashMap, io, sync::Arc};

use gray_core::{
    Endpoint,
    balance::{Change, Load, Reason},
};
use gray_live::clock::uptime_ms;
use gray_settings::HealthCheck;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    task::AbortHandle,
    time::{Instant, timeout},
};

use crate::{
    scheme::{Protocol, Scheme},
    tls::UpstreamTls,
};

/// Longest status line that is read.
const MAX_LINE: usize = 1024;

/// The checks that are being made, one task for each instance.
#[derive(Debug, Default)]
pub struct Checks {
    tls: Arc<UpstreamTls>,
    running: HashMap<(Box<str>, Box<str>), Running>,
}

#[derive(Debug)]
struct Running {
    check: HealthCheck,
    scheme: Scheme,
    load: Arc<Load>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
        self.load.unchecked(uptime_ms());
    }
}

impl Checks {
    /// None yet; certificates of instances are judged like those of requests.
    pub fn new(tls: Arc<UpstreamTls>) -> Self {
        Self { tls, running: HashMap::new() }
    }

    /// Checks exactly these: service, how, by which scheme, and its instances. Must be called within a tokio runtime.
    #[expect(clippy::disallowed_methods, reason = "a control task, not part of any request")]
    pub fn update<'a>(
        &mut self,
        wanted: impl IntoIterator<Item = (&'a str, &'a HealthCheck, Scheme, &'a Arc<Endpoint>)>,
    ) {
        let mut before = std::mem::take(&mut self.running);
        for (service, check, scheme, endpoint) in wanted {
            let key = (Box::from(service), Box::from(endpoint.authority()));
            let load = endpoint.load();
            let same = |one: &Running| one.check == *check && one.scheme == scheme && Arc::ptr_eq(&one.load, load);
            let running = before.remove(&key).filter(same).unwrap_or_else(|| {
                let instance = Instance {
                    service: service.into(),
                    authority: endpoint.authority().into(),
                    host: endpoint.instance().host.clone().into(),
                    tls: (scheme == Scheme::Https).then(|| Arc::clone(&self.tls)),
                };
                let task = tokio::spawn(instance.follow(check.clone(), Arc::clone(load))).abort_handle();
                Running { check: check.clone(), scheme, load: Arc::clone(load), task }
            });
            self.running.insert(key, running);
        }
    }
}

/// Who is asked.
struct Instance {
    service: Box<str>,
    authority: Box<str>,
    host: Box<str>,
    tls: Option<Arc<UpstreamTls>>,
}

impl Instance {
    async fn follow(self, check: HealthCheck, load: Arc<Load>) {
        let (mut good, mut bad) = (0, 0);
        // Not all of them at the same moment.
        let mut next = Instant::now() + check.interval.mul_f64(fastrand::f64());
        loop {
            tokio::time::sleep_until(next).await;
            next = Instant::now() + check.interval;
            let answered = timeout(check.timeout, self.ask(&check.path)).await;
            let answered = answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            let change = match &answered {
                Ok(()) => {
                    (good, bad) = (good + 1, 0);
                    if good >= check.healthy { load.checked(true, uptime_ms()) } else { None }
                }
                Err(_) => {
                    (good, bad) = (0, bad + 1);
                    if bad >= check.unhealthy { load.checked(false, uptime_ms()) } else { None }
                }
            };
            let (service, instance) = (&*self.service, &*self.authority);
            match (change, answered) {
                (Some(Change::Ejected(_)), Err(error)) => {
                    metrics::counter!("gray_gateway_ejections_total", "reason" => Reason::Check.as_str()).increment(1);
                    tracing::warn!(service, instance, %error, "ejected: its health check fails");
                }
                (Some(Change::Readmitted), _) => {
                    tracing::info!(service, instance, "readmitted: its health check passes");
                }
                _ => {}
            }
        }
    }

    async fn ask(&self, path: &str) -> io::Result<()> {
        let socket = TcpStream::connect(&*self.authority).await?;
        match &self.tls {
            None => self.get(socket, path).await,
            Some(tls) => self.get(tls.connect(&self.host, Protocol::Http1, socket).await?, path).await,
        }
    }

    async fn get(&self, mut socket: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> io::Result<()> {
        if path.is_empty() {
            return Ok(());
        }
        let authority = &*self.authority;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {authority}\r\nuser-agent: gray-gateway-health-check\r\nconnection: close\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await?;
        socket.flush().await?;
        let mut line = Vec::new();
        while !line.contains(&b'\n') && line.len() < MAX_LINE {
            if socket.read_buf(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        match status(&line) {
            Some(200..=399) => Ok(()),
            Some(status) => Err(io::Error::other(format!("it answers {status}"))),
            None => Err(io::Error::other("what it answers is not HTTP")),
        }
    }
}

fn status(line: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(line.split(|byte| *byte == b'\r' || *byte == b'\n').next()?).ok()?;
    line.strip_prefix("HTTP/1.")?.get(1..)?.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{
        net::Ipv4Addr,
        sync::atomic::{AtomicU16, Ordering::SeqCst},
        time::Duration,
    };

    use gray_core::InstanceSet;
    use tokio::net::TcpListener;

    use super::*;

    fn check(path: &str) -> HealthCheck {
        let mut check = HealthCheck::default();
        (check.path, check.interval) = (path.into(), Duration::from_millis(20));
        (check.unhealthy, check.healthy) = (2, 2);
        check
    }

    async fn becomes(load: &Load, expect: Option<Reason>) {
        let waiting = async {
            while load.ejection() != expect {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(10), waiting).await.unwrap_or_else(|_| panic!("never {expect:?}"));
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "no release context in a test")]
    async fn an_instance_goes_and_comes_back_by_what_it_says() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
        let port = listener.local_addr().expect("bound").port();
        let says = Arc::new(AtomicU16::new(200));
        let answer = Arc::clone(&says);
        let server = tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if socket.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                let text = format!("HTTP/1.1 {} X\r\ncontent-length: 0\r\n\r\n", answer.load(SeqCst));
                drop(socket.write_all(text.as_bytes()).await);
            }
        });
        let set = InstanceSet::new(&[gray_core::Instance::new("127.0.0.1", port)], None);
        let endpoint = &set.all().endpoints()[0];
        let by_path = check("/health");
        let mut checks = Checks::default();
        checks.update([("app", &by_path, Scheme::Http, endpoint)]);
        says.store(503, SeqCst);
        becomes(endpoint.load(), Some(Reason::Check)).await;
        // The same again goes on where it is.
        checks.update([("app", &by_path, Scheme::Http, endpoint)]);
        assert!(!endpoint.load().is_in());
        says.store(204, SeqCst);
        becomes(endpoint.load(), None).await;
        // A connection is enough for this one; there is no listener any more.
        checks.update([("app", &check(""), Scheme::Http, endpoint)]);
        server.abort();
        becomes(endpoint.load(), Some(Reason::Check)).await;
        // Who is not checked is not left out.
        checks.update([]);
        assert!(endpoint.load().is_in());
    }

    #[test]
    fn status_lines() {
        for (line, expect) in [
            ("HTTP/1.1 200 OK\r\n", Some(200)),
            ("HTTP/1.0 503\r\n", Some(503)),
            ("HTTP/2 200\r\n", None),
            ("SSH-2.0-x\r\n", None),
            ("HTTP/1.1\r\n", None),
            ("", None),
        ] {
            assert_eq!(status(line.as_bytes()), expect, "{line:?}");
        }
    }
}
