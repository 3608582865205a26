//! HTTP/2 by hand: frames as no library would send them.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Gateway, soon, spawn};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut bytes = vec![a, b, c, kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Fields as HPACK literals that are not indexed.
pub(crate) fn literals<'f>(fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            integer(text.len(), &mut block);
            block.extend(text);
        }
    }
    block
}

/// RFC 7541, 5.1, with a prefix of 7 bits.
fn integer(mut number: usize, block: &mut Vec<u8>) {
    if number < 127 {
        return block.push(number as u8);
    }
    block.push(127);
    number -= 127;
    while number >= 128 {
        block.push(number as u8 | 0x80);
        number >>= 7;
    }
    block.push(number as u8);
}

/// The fields of a GET of `/api/x`, with more behind them.
pub(crate) fn request(method: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let begin = [(":method", method), (":scheme", "http"), (":path", "/api/x"), (":authority", "shop")];
    literals(begin.iter().chain(more).map(|(name, value)| (name.as_bytes(), value.as_bytes())))
}

pub(crate) fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &request("GET", &[]))
}

/// A connection on which frames are sent, whatever the gateway says to them.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    /// After the preface, with these settings.
    pub(crate) async fn connect(gateway: &Gateway, settings: &[u8]) -> Self {
        let mut raw = Self(soon(TcpStream::connect(gateway.address)).await.expect("connected"));
        raw.send(&[PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()).await;
        raw
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        soon(self.0.write_all(bytes)).await.expect("sent");
    }

    /// Sends what the function makes of 0, 1, 2 ... until the gateway has closed the connection; how long it took.
    pub(crate) async fn flood(self, bytes: impl Fn(u32) -> Vec<u8>) -> Duration {
        let (mut read, mut write) = self.0.into_split();
        let began = tokio::time::Instant::now();
        let answers = spawn(async move {
            let mut ignored = vec![0; 1 << 16];
            while matches!(read.read(&mut ignored).await, Ok(count) if count > 0) {}
            tokio::time::Instant::now()
        });
        let sending = async {
            for turn in 0.. {
                if write.write_all(&bytes(turn)).await.is_err() {
                    return;
                }
            }
        };
        soon(sending).await;
        soon(answers).await.expect("joined").duration_since(began)
    }

    /// Reads frames up to the first of this kind; its flags, stream and payload. `None` at the end.
    pub(crate) async fn next(&mut self, kind: u8) -> Option<(u8, u32, Vec<u8>)> {
        loop {
            let (found, flags, stream, payload) = self.frame().await?;
            if found == kind {
                return Some((flags, stream, payload));
            }
        }
    }

    /// Reads a frame: its kind, flags, stream and payload. `None` at the end.
    pub(crate) async fn frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        soon(self.0.read_exact(&mut head)).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        soon(self.0.read_exact(&mut payload)).await.ok()?;
        Some((kind, flags, u32::from_be_bytes(stream), payload))
    }
}

/// Whether a block of fields begins with this status, which is in no table of HPACK's.
pub(crate) fn has_status(block: &[u8], status: u16) -> bool {
    // RFC 7541, appendix B: 0 to 2 have five bits, the other digits six.
    let bits =
        status.to_string().bytes().map(|digit| u32::from(digit - b'0')).fold((0_u32, 0), |(bits, count), digit| {
            if digit < 3 { (bits << 5 | digit, count + 5) } else { (bits << 6 | (0x16 + digit), count + 6) }
        });
    let padding = 24 - bits.1;
    let [_, coded @ ..] = (bits.0 << padding | ((1 << padding) - 1)).to_be_bytes();
    block.starts_with(&[&[0x48, 0x83], coded.as_slice()].concat())
        || block.starts_with(&[&[0x48, 0x82], &coded[..2]].concat())
}
