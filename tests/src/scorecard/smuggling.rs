//! Row 11: requests that two servers might understand differently. Each carries another request inside, with an id that
//! must never reach the backend; and whatever was accepted must have reached it once.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{Ground, Plot, Row, Scale, Site, smugglex, tools};

/// Connections at a time.
const BATCH: usize = 256;

/// A case: a name and the bytes.
type Case = (String, Vec<u8>);

/// How long answers are waited for; far longer than the backend takes.
const QUIET: Duration = Duration::from_secs(1);

/// Spellings of a length and of chunks that some server reads in another way.
const LENGTHS: &[&str] = &[
    "Content-Length: {n}",
    "Content-Length: {n}\r\nContent-Length: 0",
    "Content-Length: 0\r\nContent-Length: {n}",
    "Content-Length: {n}, 0",
    "Content-Length: +{n}",
    "Content-Length: -1",
    "Content-Length: 0{n}",
    "Content-Length: 0x{n}",
    "Content-Length: {n}.0",
    "Content-Length: {n} 0",
    "Content-Length : {n}",
    "Content-Length:\r\n {n}",
    " Content-Length: {n}",
    "Content-Length: \x0b{n}",
    "Content-Length: {n}\x0b",
    "Content_Length: {n}",
    "Content-Length: 18446744073709551616",
    "Content-Length: \"{n}\"",
    "Content-Length:",
    "X: y\rContent-Length: {n}",
    "X: y\nContent-Length: {n}",
    "Content-Length\0: {n}",
];

const CODINGS: &[&str] = &[
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: Chunked",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, gzip",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked;q=1",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding:\tchunked",
    "Transfer-Encoding: \x0bchunked",
    "Transfer-Encoding: chunked\x0b",
    "Transfer-Encoding:\r\n chunked",
    " Transfer-Encoding: chunked",
    "Transfer_Encoding: chunked",
    "Transfer-Encoding\0: chunked",
    "X: y\rTransfer-Encoding: chunked",
    "X: y\nTransfer-Encoding: chunked",
    "X: y\r\n\rTransfer-Encoding: chunked",
    "TRANSFER-ENCODING: chunked",
    "Transfer-Encoding: ,chunked",
    "Transfer-Encoding: chunked,",
    "Transfer-Encoding:",
];

/// Bodies in chunks: what is before, at, or behind the size of one.
const CHUNKS: &[&str] = &[
    "0\r\n\r\n{inner}",
    "0\n\n{inner}",
    "0;a\n\r\n{inner}",
    "0;a\r\r\n\r\n{inner}",
    "0 \r\n\r\n{inner}",
    " 0\r\n\r\n{inner}",
    "0x0\r\n\r\n{inner}",
    "+0\r\n\r\n{inner}",
    "-0\r\n\r\n{inner}",
    "00000000000000000000\r\n\r\n{inner}",
    "10000000000000000\r\n{inner}",
    "ffffffffffffffff\r\n{inner}",
    "1\r\nAA\r\n0\r\n\r\n{inner}",
    "1\r\nA0\r\n\r\n{inner}",
    "2;a=\"\r\n\"\r\nAA\r\n0\r\n\r\n{inner}",
    "1;\nA\r\n0\r\n\r\n{inner}",
    "1\r\nA\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n{inner}",
    "1\r\nA\r\n0\r\nContent-Length: 5\r\n\r\n{inner}",
    "1\r\nA\r\n0\r\n X\r\n\r\n{inner}",
    "\r\n0\r\n\r\n{inner}",
    "g\r\n{inner}",
    "{inner}",
];

const HEADS: &[&str] = &[
    "GET /shop/item HTTP/1.1",
    "POST /shop/item HTTP/1.0",
    "POST /shop/item HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade",
    "GET /shop/item HTTP/1.1\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings",
    "POST /shop/item HTTP/1.1\r\nExpect: 100-continue",
    "POST /shop/item HTTP/1.1\r\nConnection: Content-Length",
    "POST /shop/item HTTP/1.1\r\nConnection: Transfer-Encoding",
    "HEAD /shop/item HTTP/1.1",
    "CONNECT /shop/item HTTP/1.1",
    "POST /shop/item\tHTTP/1.1",
    "POST  /shop/item HTTP/1.1",
    "POST /shop/item HTTP/1.1 ",
    "POST /shop/item HTTP/1.2",
    "POST /shop/item HTTP/2.0",
    "POST /shop/item",
    "POST /shop/item HTTP/1.1\r\nHost: b",
    "POST http://a/shop/item HTTP/1.1\r\nHost: b",
];

/// The smuggled one: it has an id that was not sent by itself.
fn inner(number: usize) -> String {
    format!("GET /shop/item HTTP/1.1\r\nHost: a\r\nx-request-id: smuggled-{number}\r\n\r\n")
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut add = |what: &str, head: &str, lines: &str, body: &dyn Fn(&str) -> String| {
        let number = cases.len();
        let inner = inner(number);
        let body = body(&inner);
        let lines = lines.replace("{n}", &body.len().to_string());
        let host = if head.contains("Host:") { "" } else { "Host: a\r\n" };
        let lines = if lines.is_empty() { String::new() } else { format!("{lines}\r\n") };
        let text = format!("{head}\r\n{host}x-request-id: outer-{number}\r\n{lines}\r\n{body}");
        cases.push((
            format!("{what}: {head:?} {lines:?} {:?}", body.chars().take(40).collect::<String>()),
            text.into_bytes(),
        ));
    };
    let post = "POST /shop/item HTTP/1.1";
    let ended = |inner: &str| format!("0\r\n\r\n{inner}");
    for length in LENGTHS {
        add("a length", post, length, &|inner| inner.to_owned());
        for coding in CODINGS {
            add("length and coding", post, &format!("{length}\r\n{coding}"), &ended);
            add("coding and length", post, &format!("{coding}\r\n{length}"), &ended);
        }
    }
    for coding in CODINGS {
        add("a coding", post, coding, &ended);
    }
    for chunk in CHUNKS {
        add("a chunk", post, "Transfer-Encoding: chunked", &|inner| chunk.replace("{inner}", inner));
        add("a chunk with a length", post, "Transfer-Encoding: chunked\r\nContent-Length: 5", &|inner| {
            chunk.replace("{inner}", inner)
        });
    }
    for head in HEADS {
        for lines in
            ["", "Content-Length: {n}", "Transfer-Encoding: chunked", "Content-Length: 3\r\nTransfer-Encoding: chunked"]
        {
            add("a head", head, lines, &ended);
        }
    }
    cases
}

/// Sends a case on a connection of its own; the statuses of what came back.
async fn send(address: &str, bytes: &[u8]) -> Result<Vec<u16>> {
    let mut stream = TcpStream::connect(address).await?;
    // The gateway may refuse after the head and close.
    drop(stream.write_all(bytes).await);
    let mut seen = Vec::new();
    // It waits for more of some requests, and it may keep the connection.
    let read = async { while stream.read_buf(&mut seen).await.is_ok_and(|count| count > 0) {} };
    drop(tokio::time::timeout(QUIET, read).await);
    let text = String::from_utf8_lossy(&seen);
    let statuses = text
        .match_indices("HTTP/1.1 ")
        .filter_map(|(at, prefix)| text.get(at + prefix.len()..)?.get(..3)?.parse().ok());
    Ok(statuses.filter(|status: &u16| *status >= 200).collect())
}

/// Whether the inner request of a case is a request of its own by the rules: the outer one clearly ended before it.
fn is_pipelined(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let head = format!("{head}\r\n");
    let lines: Vec<&str> = head.split("\r\n").collect();
    let has = |name: &str| lines.iter().any(|line| line.starts_with(name));
    let chunked = lines.contains(&"transfer-encoding: chunked") || lines.contains(&"transfer-encoding:\tchunked");
    // A body that is chunked and nothing else, ended well; or none, where nothing in the head says that there is one.
    let good = ["0\r\n\r\n", "00000000000000000000\r\n\r\n", "1\r\na\r\n0\r\n"];
    // What looks like a header behind the last chunk is a trailer, and says nothing about lengths.
    let ends = good.iter().any(|start| body.starts_with(start)) && !body.contains("\r\n x");
    (chunked && ends && !has("content-length")) || body.starts_with("get ") && !has("content-") && !has("transfer-")
}

pub(super) async fn run(ground: &Ground, _: Scale) -> Result<Row> {
    let site = Site::on_files(Plot::default(), &["V1"]).await?;
    let address = if ground.sabotage() {
        // Straight to a server that takes more than we do.
        format!("127.0.0.1:{}", site.shops[0].port)
    } else {
        site.url.trim_start_matches("http://").to_owned()
    };
    let cases = cases();
    let (mut wrong, mut refused, mut accepted) = (Vec::new(), 0, 0);
    for batch in cases.chunks(BATCH).enumerate().map(|(index, chunk)| (index * BATCH, chunk)) {
        let (first, chunk) = batch;
        let sent = futures_util::future::join_all(chunk.iter().map(|(_, bytes)| send(&address, bytes))).await;
        let ledger = site.ledger()?;
        for (number, ((what, bytes), statuses)) in
            chunk.iter().zip(sent).enumerate().map(|(at, pair)| (first + at, pair))
        {
            let statuses = statuses.context("no connection")?;
            let good = statuses.iter().filter(|status| **status == 200).count();
            let outer = ledger.of(&format!("outer-{number}")).len();
            let smuggled = ledger.of(&format!("smuggled-{number}")).len();
            accepted += usize::from(good > 0);
            refused += usize::from(good == 0);
            // What the backend saw is what was answered; an inner request only where it stands outside by every reading.
            let clear = smuggled == 0 || smuggled == 1 && is_pipelined(bytes);
            if outer > 1 || !clear || outer + smuggled < good || good < smuggled {
                wrong.push(format!(
                    "{what} was answered {statuses:?}; the backend saw it {outer} times, the inner one {smuggled} times"
                ));
            }
        }
    }
    let scan = smugglex::scan(&address).await?;
    let scanned = scan.as_ref().map_or_else(
        || tools::missing("smugglex"),
        |scan| format!("smugglex: {} findings in {} checks", scan.findings.len(), scan.checks),
    );
    let ambiguous = wrong.len();
    let found = scan.map(|scan| scan.findings).unwrap_or_default();
    let mut row = Row::new(
        format!("{ambiguous} of {} cases ambiguous at the backend; {accepted} accepted, {refused} refused; {scanned}", cases.len()),
        "the backend sees exactly one unambiguous request per accepted one",
        wrong.is_empty() && found.is_empty() && accepted > 0 && refused > cases.len() / 2,
    )
    .note("CL.TE, TE.CL, TE.TE, duplicate and odd lengths, chunk syntax, folds, bare CR and LF, HTTP/1.0, upgrades; raw bytes, each on a connection of its own. More, byte for byte: gray-gateway/tests/proxy");
    row.details.extend(found.into_iter().chain(wrong).take(12));
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_cases_and_few_are_clear() {
        let cases = cases();
        assert!(cases.len() > 1000, "{}", cases.len());
        let clear = cases.iter().filter(|(_, bytes)| is_pipelined(bytes)).count();
        assert!(clear >= 3 && clear * 10 < cases.len(), "{clear} of {}", cases.len());
    }
}
