//! Row 13: what HTTP/2 allows and no client needs, in floods.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{Ground, Plot, Row, Scale, Site};
use crate::load::{Load, Plan};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `:method GET`, `:scheme http`, `:path /shop/item`, `:authority a`; nothing is indexed.
fn head() -> Vec<u8> {
    [&[0x82, 0x86, 0x04, 10], &b"/shop/item"[..], &[0x01, 1], b"a"].concat()
}

/// A kind of flood; each writes one more unit of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flood {
    RapidReset,
    MadeYouReset,
    Continuation,
    EmptyData,
    Ping,
    Settings,
}

const FLOODS: [Flood; 6] =
    [Flood::RapidReset, Flood::MadeYouReset, Flood::Continuation, Flood::EmptyData, Flood::Ping, Flood::Settings];

impl Flood {
    fn begin(self) -> Vec<u8> {
        match self {
            Self::Continuation => frame(HEADERS, END_STREAM, 1, &head()),
            Self::EmptyData => frame(HEADERS, END_HEADERS, 1, &head()),
            _ => Vec::new(),
        }
    }

    fn unit(self, number: u32) -> Vec<u8> {
        let stream = 2 * number + 1;
        let request = || frame(HEADERS, END_HEADERS | END_STREAM, stream, &head());
        match self {
            Self::RapidReset => [request(), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat(),
            // A window that grows by nothing is an error of the stream: the server itself resets it.
            Self::MadeYouReset => {
                let open = frame(HEADERS, END_HEADERS, stream, &head());
                [open, frame(WINDOW_UPDATE, 0, stream, &0_u32.to_be_bytes())].concat()
            }
            Self::Continuation => frame(CONTINUATION, 0, 1, &[0x10, 1, b'x', 1, b'y'].repeat(10)),
            Self::EmptyData => frame(DATA, 0, 1, b""),
            Self::Ping => frame(PING, 0, 0, &[0; 8]),
            Self::Settings => frame(SETTINGS, 0, 0, b""),
        }
    }

    /// Streams, or what costs about as little as 10 a stream.
    fn limit(self) -> u32 {
        match self {
            Self::RapidReset | Self::MadeYouReset => 200,
            _ => 2000,
        }
    }
}

/// How far a flood came before the gateway ended it.
#[derive(Clone, Copy, Debug)]
struct Ended {
    units: u32,
    after: Duration,
    closed: bool,
}

async fn attack(address: &str, flood: Flood, limit: Duration) -> Result<Ended> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut from, mut to) = stream.into_split();
    let closed = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&closed);
    let reader = tokio::spawn(async move {
        let mut head = [0; 9];
        while from.read_exact(&mut head).await.is_ok() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            if head[3] == GOAWAY {
                break;
            }
            if from.read_exact(&mut vec![0; usize::try_from(length).unwrap_or(0)]).await.is_err() {
                break;
            }
        }
        seen.store(true, Relaxed);
    });
    let began = Instant::now();
    let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, b""), &flood.begin()].concat();
    to.write_all(&preface).await?;
    let mut units = 0;
    while !closed.load(Relaxed) && began.elapsed() < limit {
        // A few at a time, so that what was on its way when it ended counts for little.
        let batch: Vec<u8> = (0..5).flat_map(|more| flood.unit(units + more)).collect();
        if to.write_all(&batch).await.is_err() {
            closed.store(true, Relaxed);
            break;
        }
        units += 5;
        tokio::task::yield_now().await;
        if units.is_multiple_of(50) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let ended = Ended { units, after: began.elapsed(), closed: closed.load(Relaxed) };
    reader.abort();
    Ok(ended)
}

pub(super) async fn run(ground: &Ground, scale: Scale) -> Result<Row> {
    let site = Site::on_files(Plot::default(), &["V1", "V1"]).await?;
    let address = site.url.trim_start_matches("http://");
    let rate = scale.pick(100, 500);
    let quiet = Load::start(Plan::new(&site.url, rate));
    quiet.more(scale.pick(300, 5000)).await?;
    let before = quiet.stop().await?.latency(0.99, |_| true);

    let load = Load::start(Plan::new(&site.url, rate));
    let (mut shown, mut pass) = (Vec::new(), true);
    for flood in FLOODS {
        let mut worst = Ended { units: 0, after: Duration::ZERO, closed: true };
        for _ in 0..scale.pick(2, 50) {
            let limit = if ground.sabotage() { Duration::from_micros(1) } else { Duration::from_secs(5) };
            let ended = attack(address, flood, limit).await?;
            if (ended.closed, ended.after) < (worst.closed, worst.after) || ended.units > worst.units {
                worst = ended;
            }
        }
        let in_time = worst.units <= flood.limit() || worst.after <= scale.slack(Duration::from_secs(1));
        pass &= worst.closed && in_time;
        let how = if worst.closed { "closed after" } else { "NOT closed after" };
        shown.push(format!("{flood:?} {how} {} in {:.0?}", worst.units, worst.after));
    }
    let account = load.stop().await?;
    let during = account.latency(0.99, |_| true);
    let verdict = account.judge(&site.ledger()?, |_, _| &["V1"]);
    let twice = scale.slack(before.max(Duration::from_millis(scale.pick(40, 5))) * 2);
    Ok(Row::new(
        format!("{}; legit: {} failed of {}, p99 {during:.1?}", shown.join("; "), verdict.failed, verdict.sent),
        format!("closed <= 200 bad streams or 1 s; legit 100 % ok, p99 <= {twice:.1?}"),
        pass && verdict.clean() && during <= twice,
    )
    .note(format!("legit p99 without floods {before:.1?}; the worst of {} floods of each kind", scale.pick(2, 50)))
    .examples(&verdict))
}
