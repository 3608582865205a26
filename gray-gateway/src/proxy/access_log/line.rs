//! How an entry looks: the Common Log Format with more fields behind it, or JSON.
//!
//! Nothing a client sends can end a line or a field: bytes that are not printable ASCII, `"` and `\` are `\xHH`, in both
//! formats. Names of ours are written the same way, but for letters beyond ASCII, which stay.

use std::{
    io::Write,
    net::IpAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use http::Version;
use jiff::{Timestamp, tz::Offset};

use super::Entry;
use crate::proxy::upstream::fault::Fault;

/// The wall clock is read so often; requests in between count from there.
const ANCHOR: Duration = Duration::from_secs(1);
/// Bytes of a target, and of another text of a client's, that are logged; `...` stands for the rest.
const MAX_TARGET: usize = 8 * 1024;
const MAX_TEXT: usize = 256;

/// How lines of the access log look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum AccessLogFormat {
    /// The Common Log Format, with more fields as `name=value` behind it.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Writes lines. Keeps the text of the last second.
#[derive(Debug)]
pub struct LineWriter {
    format: AccessLogFormat,
    /// A moment, and its microseconds since 1970.
    anchor: (Instant, u64),
    second: u64,
    /// That second as text.
    text: Vec<u8>,
}

impl LineWriter {
    /// For lines of this format.
    pub fn new(format: AccessLogFormat) -> Self {
        Self { format, anchor: anchor(), second: u64::MAX, text: Vec::with_capacity(32) }
    }

    /// Appends one line, with its end.
    pub fn write(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        let micros = self.stamp(entry.began);
        match self.format {
            AccessLogFormat::Text => self.text_line(entry, out),
            AccessLogFormat::Json => self.json_line(entry, micros, out),
        }
    }

    fn text_line(&self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        address(out, entry.client);
        out.extend_from_slice(b" - - [");
        out.extend_from_slice(&self.text);
        out.extend_from_slice(b"] \"");
        sent(out, entry.method, MAX_TEXT, TEXT_ESCAPE);
        out.push(b' ');
        sent(out, entry.target, MAX_TARGET, TEXT_ESCAPE);
        out.push(b' ');
        out.extend_from_slice(protocol(entry.version));
        out.extend_from_slice(b"\" ");
        match entry.status {
            Some(status) => number(out, status),
            None => out.push(b'-'),
        }
        out.push(b' ');
        number(out, entry.sent);
        out.extend_from_slice(b" received_bytes=");
        number(out, entry.received);
        out.extend_from_slice(b" duration_us=");
        number(out, us(entry.duration));
        out.extend_from_slice(b" upstream_us=");
        match entry.upstream {
            Some(upstream) => number(out, us(upstream)),
            None => out.push(b'-'),
        }
        for (label, name) in [
            (&b" route="[..], entry.route),
            (b" lane=", entry.lane),
            (b" rule=", entry.rule),
            (b" service=", entry.service),
            (b" instance=", entry.instance),
        ] {
            out.extend_from_slice(label);
            match name {
                Some(name) => {
                    out.push(b'"');
                    escaped(out, name.as_bytes(), &OURS, TEXT_ESCAPE);
                    out.push(b'"');
                }
                None => out.push(b'-'),
            }
        }
        out.extend_from_slice(b" end=");
        out.extend_from_slice(entry.end.as_str().as_bytes());
        out.extend_from_slice(b" fault=");
        out.extend_from_slice(entry.fault.map_or("-", Fault::as_str).as_bytes());
        out.extend_from_slice(b" request_id=");
        match entry.request_id {
            Some(id) => {
                out.push(b'"');
                sent(out, id, MAX_TEXT, TEXT_ESCAPE);
                out.push(b'"');
            }
            None => out.push(b'-'),
        }
        out.push(b'\n');
    }

    fn json_line(&self, entry: &Entry<'_>, micros: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"time\":\"");
        out.extend_from_slice(&self.text);
        let mut fraction = *b".000000Z\"";
        let mut rest = micros;
        for digit in fraction[1..7].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        out.extend_from_slice(&fraction);
        out.extend_from_slice(b",\"client\":\"");
        address(out, entry.client);
        out.extend_from_slice(b"\",\"method\":\"");
        sent(out, entry.method, MAX_TEXT, JSON_ESCAPE);
        out.extend_from_slice(b"\",\"target\":\"");
        sent(out, entry.target, MAX_TARGET, JSON_ESCAPE);
        out.extend_from_slice(b"\",\"protocol\":\"");
        out.extend_from_slice(protocol(entry.version));
        out.push(b'"');
        if let Some(status) = entry.status {
            out.extend_from_slice(b",\"status\":");
            number(out, status);
        }
        out.extend_from_slice(b",\"sent_bytes\":");
        number(out, entry.sent);
        out.extend_from_slice(b",\"received_bytes\":");
        number(out, entry.received);
        out.extend_from_slice(b",\"duration_us\":");
        number(out, us(entry.duration));
        if let Some(upstream) = entry.upstream {
            out.extend_from_slice(b",\"upstream_us\":");
            number(out, us(upstream));
        }
        for (label, name) in [
            (&b",\"route\":\""[..], entry.route),
            (b",\"lane\":\"", entry.lane),
            (b",\"rule\":\"", entry.rule),
            (b",\"service\":\"", entry.service),
            (b",\"instance\":\"", entry.instance),
        ] {
            if let Some(name) = name {
                out.extend_from_slice(label);
                escaped(out, name.as_bytes(), &OURS, JSON_ESCAPE);
                out.push(b'"');
            }
        }
        out.extend_from_slice(b",\"end\":\"");
        out.extend_from_slice(entry.end.as_str().as_bytes());
        if let Some(fault) = entry.fault {
            out.extend_from_slice(b"\",\"fault\":\"");
            out.extend_from_slice(fault.as_str().as_bytes());
        }
        if let Some(id) = entry.request_id {
            out.extend_from_slice(b"\",\"request_id\":\"");
            sent(out, id, MAX_TEXT, JSON_ESCAPE);
        }
        out.extend_from_slice(b"\"}\n");
    }

    /// Renders the second of this moment, if it is another one than the last; returns the microseconds in it.
    fn stamp(&mut self, began: Instant) -> u32 {
        if began.saturating_duration_since(self.anchor.0) > ANCHOR {
            self.anchor = anchor();
        }
        let (at, at_micros) = self.anchor;
        let micros = match began.checked_duration_since(at) {
            Some(after) => at_micros + us(after),
            None => at_micros.saturating_sub(us(at.saturating_duration_since(began))),
        };
        let second = micros / 1_000_000;
        if second != self.second {
            self.second = second;
            self.render();
        }
        (micros % 1_000_000) as u32
    }

    fn render(&mut self) {
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        // Only a clock beyond the year 9999 has no timestamp.
        let at = i64::try_from(self.second).ok().and_then(|second| Timestamp::from_second(second).ok());
        let date = Offset::UTC.to_datetime(at.unwrap_or_default());
        let (year, month, day) = (date.year(), date.month(), date.day());
        let (hour, minute, second) = (date.hour(), date.minute(), date.second());
        self.text.clear();
        // Writing to a vector does not fail.
        let _written = match self.format {
            AccessLogFormat::Text => {
                let month = MONTHS[usize::from(month.unsigned_abs() - 1) % 12];
                write!(self.text, "{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000")
            }
            AccessLogFormat::Json => {
                write!(self.text, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
            }
        };
    }
}

fn anchor() -> (Instant, u64) {
    let (at, wall) = (Instant::now(), SystemTime::now());
    (at, us(wall.duration_since(UNIX_EPOCH).unwrap_or_default()))
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            number(out, first);
            for octet in rest {
                out.push(b'.');
                number(out, octet);
            }
        }
        IpAddr::V6(address) => {
            // Writing to a vector does not fail.
            let _written = write!(out, "{address}");
        }
    }
}

const fn protocol(version: Version) -> &'static [u8] {
    match version {
        Version::HTTP_09 => b"HTTP/0.9",
        Version::HTTP_10 => b"HTTP/1.0",
        Version::HTTP_2 => b"HTTP/2.0",
        Version::HTTP_3 => b"HTTP/3.0",
        _ => b"HTTP/1.1",
    }
}

/// What stands before the two digits of an escaped byte.
const TEXT_ESCAPE: &[u8] = b"\\x";
const JSON_ESCAPE: &[u8] = b"\\\\x";

/// Bytes that a client may have in the log as they are.
const THEIRS: [bool; 256] = plain(false);
/// Bytes that names may have in the log as they are.
const OURS: [bool; 256] = plain(true);

const fn plain(beyond_ascii: bool) -> [bool; 256] {
    let mut table = [beyond_ascii; 256];
    let mut byte = 0;
    while byte < 0x80 {
        table[byte] = byte >= 0x20 && byte != 0x7f && byte != b'"' as usize && byte != b'\\' as usize;
        byte += 1;
    }
    table
}

/// What a client sent, up to `limit` bytes of it.
fn sent(out: &mut Vec<u8>, bytes: &[u8], limit: usize, escape: &[u8]) {
    match bytes.split_at_checked(limit) {
        Some((head, rest)) if !rest.is_empty() => {
            escaped(out, head, &THEIRS, escape);
            out.extend_from_slice(b"...");
        }
        _ => escaped(out, bytes, &THEIRS, escape),
    }
}

fn escaped(out: &mut Vec<u8>, mut bytes: &[u8], plain: &[bool; 256], escape: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    loop {
        let run = bytes.iter().position(|byte| !plain[usize::from(*byte)]).unwrap_or(bytes.len());
        let (run, rest) = bytes.split_at(run);
        out.extend_from_slice(run);
        let Some((byte, rest)) = rest.split_first() else { return };
        out.extend_from_slice(escape);
        out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        bytes = rest;
    }
}
