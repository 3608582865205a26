//! Row 9: clients that say they are gray, in every way that a gateway once forgot.

use std::time::Instant;

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use super::{Ground, Plot, Row, Scale, Site};

/// The one address and the one user that are gray.
const SETTINGS: &str = "grayIPList: ['10.66.0.1']\ngrayUserNoList: [U-gray]";
const CLIENTS: u64 = 8;

/// Lines of a head that try it. None of them is what the rules ask for (`x-canary: yes`, `userNo: U-gray`).
const LINES: &[&str] = &[
    "gray: GRAY",
    "gray: ALL",
    "gray: gray-996",
    "gray:GRAY",
    "gray:\tGRAY",
    "g.ray: GRAY",
    "gray_: GRAY",
    "gr-ay: GRAY",
    "_gray: GRAY",
    "x-gray: GRAY",
    "gray-lane: 1;gray;-;*=version:V2",
    "gray-lane: 99999999999;canary;-;shop=version:V2;*=version:V2",
    "gray_lane: 1;gray;-;*=version:V2",
    "gray-signature: v1;0;AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "gray-caller: order-app@V2",
    "gray-path: shop@V2",
    "x-canary: no",
    "x-canary: ",
    "x_canary: yes",
    "x.canary: yes",
    "xcanary: yes",
    "x-canary-: yes",
    "x-canary: yes yes",
    "x-canary: no, yes",
    "x-canary: yes\u{0}",
    "x-canary : yes",
    " x-canary: yes",
    "userNo: U-gray2",
    "user_No: U-gray",
    "user-No: U-gray",
    "userNo: U\u{2d}gra",
    "X-Forwarded-For: 10.66.0.1",
    "X-Forwarded-For: 10.66.0.1, 127.0.0.1",
    "X-Forwarded-For: 127.0.0.1, 10.66.0.1",
    "X_Forwarded_For: 10.66.0.1",
    "X-Real-IP: 10.66.0.1",
    "X-Real_IP: 10.66.0.1",
    "Forwarded: for=10.66.0.1",
    "Forwarded: for=\"10.66.0.1:80\";proto=https",
    "True-Client-IP: 10.66.0.1",
    "X-Client-IP: 10.66.0.1",
    "CF-Connecting-IP: 10.66.0.1",
    "X-Cluster-Client-IP: 10.66.0.1",
    "X-Original-Forwarded-For: 10.66.0.1",
    "Via: 1.1 10.66.0.1",
    "Connection: close, gray",
    "Connection: keep-alive, GRAY, gray-lane, x-real-ip",
    "connection: x-forwarded-for",
    "Proxy-Connection: gray",
    "Keep-Alive: gray",
    "TE: trailers, gray",
    "Trailer: gray, x-canary",
    "Upgrade: gray",
    "Cookie: gray=GRAY; x-canary=yes; userNo=U-gray",
    "Host: v2.shop",
    "X-Forwarded-Host: V2",
    "X-Version: V2",
    "version: V2",
    "X-HTTP-Method-Override: GRAY",
    "X-Original-URL: /shop/gray?gray=GRAY",
    "X-Rewrite-URL: /told/status/500",
];

const TARGETS: &[&str] = &[
    "/shop/item",
    "/shop/item?gray=GRAY&x-canary=yes&userNo=U-gray",
    "/shop/item;gray=GRAY",
    "/shop/item%0d%0agray:%20GRAY",
    "/shop/item?%0d%0ax-canary:%20yes",
    "/shop//item",
    "/shop/./item",
    "/shop/%67ray",
    "http://127.0.0.1/shop/item",
];

/// A request that is not gray by any rule, though it says so.
fn spoofed(random: &mut fastrand::Rng, id: &str) -> String {
    let pick = |random: &mut fastrand::Rng, list: &'static [&'static str]| *random.choice(list).unwrap_or(&"");
    let (post, chunked) = (random.u8(..4) == 0, random.bool());
    let target = pick(random, TARGETS);
    let mut head = format!("{} {target} HTTP/1.1\r\n", if post { "POST" } else { "GET" });
    let mut lines = vec!["Host: shop.example".to_owned(), format!("x-request-id: {id}")];
    for _ in 0..random.usize(1..5) {
        let line = pick(random, LINES);
        lines.push(cased(random, line));
    }
    random.shuffle(&mut lines);
    // A first line that begins with a space would continue the request line.
    for line in lines {
        head.push_str(&line);
        head.push_str("\r\n");
    }
    let body = format!("{id} gray: GRAY");
    match (post, chunked) {
        (false, _) => head.push_str("\r\n"),
        (true, false) => head.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len())),
        // What follows the body is no header.
        (true, true) => head.push_str(&format!(
            "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\ngray: GRAY\r\nx-canary: yes\r\n\r\n",
            body.len()
        )),
    }
    head
}

/// The name in another casing: as it is, lower, upper, or mixed.
fn cased(random: &mut fastrand::Rng, line: &str) -> String {
    let Some((name, rest)) = line.split_once(':') else { return line.to_owned() };
    let name: String = match random.u8(..4) {
        0 => name.to_owned(),
        1 => name.to_ascii_lowercase(),
        2 => name.to_ascii_uppercase(),
        _ => {
            name.chars().map(|c| if random.bool() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }).collect()
        }
    };
    format!("{name}:{rest}")
}

#[derive(Default)]
struct Count {
    sent: u64,
    served: u64,
    refused: u64,
    flips: u64,
    /// The backend saw another tag than the one of the gateway.
    tags: u64,
    broken: u64,
    examples: Vec<String>,
}

impl Count {
    fn note(&mut self, what: &str, request: &str, answer: &str) {
        if self.examples.len() < 4 {
            self.examples.push(format!("{what}: {request:?} was answered {answer:?}"));
        }
    }
}

/// Reads one answer; nothing when the connection ended. Whether the connection goes on.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Option<(String, bool)>> {
    buffer.clear();
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            let length = value(&head, "content-length").and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
            while buffer.len() < end + 4 + length {
                if stream.read_buf(buffer).await? == 0 {
                    return Ok(None);
                }
            }
            let goes_on = value(&head, "connection").is_none_or(|value| !value.contains("close"));
            return Ok(Some((head, goes_on)));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

fn value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

async fn client(address: String, seed: u64, requests: u64) -> Result<Count> {
    let (mut random, mut count, mut buffer) = (fastrand::Rng::with_seed(seed), Count::default(), Vec::new());
    let mut stream: Option<TcpStream> = None;
    for number in 0..requests {
        let request = spoofed(&mut random, &format!("{seed}-{number}"));
        let connection = match stream.take() {
            Some(connection) => connection,
            None => TcpStream::connect(&address).await?,
        };
        let mut connection = connection;
        count.sent += 1;
        let answered = async {
            connection.write_all(request.as_bytes()).await?;
            answer(&mut connection, &mut buffer).await
        };
        let Ok(Ok(Some((head, goes_on)))) = tokio::time::timeout(std::time::Duration::from_secs(10), answered).await
        else {
            count.broken += 1;
            count.note("no answer", &request, "");
            continue;
        };
        let status = head.split(' ').nth(1).unwrap_or_default();
        match (value(&head, "x-version"), value(&head, "x-seen-gray")) {
            (Some("v1"), Some("prod")) => count.served += 1,
            (Some("v1"), _) => {
                count.tags += 1;
                count.note("another tag", &request, &head);
            }
            (Some(_), _) => {
                count.flips += 1;
                count.note("flip", &request, &head);
            }
            // Refused by the gateway itself.
            (None, _) if status.starts_with('4') => count.refused += 1,
            (None, _) => {
                count.broken += 1;
                count.note("unexpected", &request, &head);
            }
        }
        if goes_on {
            stream = Some(connection);
        }
    }
    Ok(count)
}

pub(super) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let settings =
        if ground.sabotage() { format!("{SETTINGS}\ntrustedHops: ['127.0.0.1']") } else { SETTINGS.to_owned() };
    let site = Site::on_files(Plot { settings, ..Plot::default() }, &["V1", "V2"]).await?;
    let address = site.url.trim_start_matches("http://").to_owned();
    let (began, mut clients) = (Instant::now(), JoinSet::new());
    for seed in 0..CLIENTS {
        clients.spawn(client(address.clone(), seed, scale.pick(20_000, 1_000_000) / CLIENTS));
    }
    let mut all = Count::default();
    while let Some(count) = clients.join_next().await {
        let count = count.context("a client failed")??;
        all.sent += count.sent;
        all.served += count.served;
        all.refused += count.refused;
        all.flips += count.flips;
        all.tags += count.tags;
        all.broken += count.broken;
        all.examples.extend(count.examples);
    }
    all.examples.truncate(8);
    let Count { sent, served, refused, flips, tags, broken, .. } = all;
    let mut row = Row::new(
        format!("{flips} flips, {tags} other tags at the backend, {broken} without a proper answer of {sent}"),
        scale.pick("0 flips", "0 flips of at least 1,000,000"),
        flips + tags + broken == 0 && served > sent / 20 && sent >= scale.pick(1, 1_000_000),
    )
    .note(format!(
        "{served} served by V1 with the gateway's own tag, {refused} refused (4xx); {} lines of heads in random casing, \
         {} targets, trailers; seeds 0 to {}; {:.0?}",
        LINES.len(),
        TARGETS.len(),
        CLIENTS - 1,
        began.elapsed()
    ));
    row.details.extend(all.examples);
    Ok(row)
}
