//! Spring Cloud Gateway in a process of its own: `jvm/`.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::{release::Release, wire};

/// A start of a context.
const LIMIT: Duration = Duration::from_secs(60);

/// A running JVM; killed when dropped.
#[derive(Debug)]
pub struct Spring {
    child: Child,
    control: SocketAddr,
    address: SocketAddr,
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

impl Spring {
    /// Starts the JVM of a release, as Maven left it in `directory`.
    ///
    /// # Errors
    /// It is not built, or does not start.
    pub async fn start(release: Release, directory: &Path) -> Result<Self> {
        let built = directory.join("target").join(release.name());
        let classes = built.join("classes");
        if !classes.is_dir() {
            bail!("{} is missing: mvn -P {release} compile", classes.display());
        }
        let (control, port) = (free_port()?, free_port()?);
        let child = Command::new("java")
            .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
            .arg(format!("{}:{}/lib/*", classes.display(), built.display()))
            .arg("compat.Gateway")
            .args([control.to_string(), port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start java")?;
        let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut spring = Self { child, control: at(control), address: at(port) };
        let listening = async {
            while tokio::net::TcpStream::connect(spring.control).await.is_err() {
                if let Some(status) = spring.child.try_wait()? {
                    bail!("java ended: {status}");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(())
        };
        tokio::time::timeout(LIMIT, listening).await.context("the JVM does not listen")??;
        Ok(spring)
    }

    /// Starts a context with this document in place of the one before. Says why it cannot, in one line.
    ///
    /// # Errors
    /// The JVM does not answer.
    pub async fn load(&self, document: &str) -> Result<Option<String>> {
        let head =
            format!("POST / HTTP/1.1\r\nHost: c\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", document.len());
        let reply = wire::ask(self.control, (head + document).as_bytes(), LIMIT).await.context("start of a context")?;
        let (head, body) = wire::head(&reply).context("no answer of the JVM")?;
        if head.line.contains(" 200 ") {
            return Ok(None);
        }
        Ok(Some(String::from_utf8_lossy(body).into_owned()))
    }

    /// Where clients come in.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Spring {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
