//! HTTP/1.1 as bytes, without any opinion on them.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::request::Fields;

/// The head of a message, names in small letters.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) line: String,
    pub(crate) fields: Fields,
}

impl Head {
    /// The values of a field, in their order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The first value of a field as a number.
    pub(crate) fn length(&self) -> usize {
        self.all("content-length").first().and_then(|value| value.parse().ok()).unwrap_or_default()
    }
}

/// The head and what follows it, once the head is whole.
pub(crate) fn head(bytes: &[u8]) -> Option<(Head, &[u8])> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(bytes.get(..end)?);
    let mut lines = text.split("\r\n");
    let line = lines.next()?.to_owned();
    let fields = lines.filter_map(|line| line.split_once(':'));
    let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    Some((Head { line, fields }, bytes.get(end + 4..)?))
}

/// Everything that comes back on a connection of its own, until it is closed.
pub(crate) async fn ask(address: SocketAddr, request: &[u8], limit: Duration) -> Result<Vec<u8>> {
    let asking = async {
        let mut stream = TcpStream::connect(address).await.context("cannot connect")?;
        stream.write_all(request).await?;
        let mut reply = Vec::new();
        // A reset after the answer does not matter.
        let end = stream.read_to_end(&mut reply).await;
        if reply.is_empty() {
            end?;
        }
        Ok(reply)
    };
    timeout(limit, asking).await.context("no end of the answer")?
}
