//! `grayctl diff`: the same requests to the old gateway and to ours, and what of the answers differs.

mod client;
mod compare;
mod report;
mod requests;

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Result, bail};
use clap::Args;
use gray_common::service::UsageError;
use http::HeaderName;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use self::{
    client::{Sending, Side},
    compare::{Difference, Rules},
    report::Tally,
    requests::Request,
};
use crate::find;

/// Send the same requests to the old gateway and to this one, and list what of the answers differs.
///
/// FILE has one request after the other: `GET /path`, with header lines below it, an empty line and a body for methods that have
/// one, `###` in between; or it is an access log (this gateway's in either format, or any in the Common Log Format). Paths are sent
/// as they are written. GET and HEAD alone are sent, unless --unsafe-methods says otherwise: a POST reaches the services twice.
///
/// Compared are the status, the headers that mean something to clients (Location, Content-Type, Content-Encoding,
/// Content-Disposition, Cache-Control, Vary, Allow, WWW-Authenticate, Access-Control-*, the names in Set-Cookie) and the body, JSON
/// by its values. Of bodies the first MiB is read.
///
/// Exit codes: 0 all answers are the same; 1 some differ, or there was none; 2 wrong usage.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DiffArgs {
    /// The old gateway: http://HOST:PORT or https://HOST:PORT.
    #[arg(long, value_name = "URL")]
    spring: String,
    /// This one.
    #[arg(long, value_name = "URL")]
    ours: String,
    /// File with the requests; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    requests: PathBuf,
    /// Host that requests are for, where they name none; without it each gateway is asked by its address.
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Header of every request that has none of this name, such as 'Authorization: Bearer ...'; repeated.
    #[arg(long, short = 'H', value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// Header that is compared as well; repeated.
    #[arg(long, value_name = "NAME")]
    compare_header: Vec<HeaderName>,
    /// Header that may differ; repeated.
    #[arg(long, value_name = "NAME")]
    ignore_header: Vec<HeaderName>,
    /// Place in JSON bodies that may differ, with what is below it: /data/port, /items/*/time; repeated.
    #[arg(long, value_name = "POINTER")]
    ignore: Vec<String>,
    /// Bodies of errors (4xx, 5xx) may differ where the status is the same: each gateway words its own.
    #[arg(long)]
    ignore_error_bodies: bool,
    /// Send requests of any method.
    #[arg(long)]
    unsafe_methods: bool,
    /// Requests at a time, at each gateway.
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    parallel: u16,
    /// Requests in a second, at each gateway.
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// How long an answer may take, in seconds.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    timeout: u64,
    /// PEM file with the CAs of the gateways' certificates, instead of Mozilla's roots.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Requests that differ of which it is shown in what; all are counted.
    #[arg(long, default_value_t = 50, value_name = "N")]
    show: usize,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  Requests that were written down:
    grayctl diff --spring http://127.0.0.1:8080 --ours http://127.0.0.1:7000 --requests requests.http

  What came in yesterday, for one host, but for the port in the answers:
    grayctl diff --spring http://10.0.0.1 --ours http://10.0.0.2 --host shop.example \\
      --requests access.log --ignore /data/port --rate 20";

/// How it went with one request.
#[derive(Debug)]
enum Outcome {
    Same,
    Different(Vec<Difference>),
    /// There was no answer: from whom, and why.
    Failed(Vec<(&'static str, String)>),
}

/// Runs the command.
pub(crate) async fn run(args: &DiffArgs) -> Result<ExitCode> {
    let text = find::read(&args.requests)?;
    let wrong = |reason: String| UsageError(format!("{}: {reason}", find::name(&args.requests)));
    let mut requests = requests::read(&text).map_err(wrong)?;
    let mut tally = Tally::new(args.show, requests.unread);
    let is_sent = |request: &Request| args.unsafe_methods || ["GET", "HEAD"].contains(&&*request.method);
    requests.all.iter().filter(|request| !is_sent(request)).for_each(|request| tally.skip(&request.method));
    requests.all.retain(is_sent);
    if requests.all.is_empty() {
        let hint = if tally.has_skipped() {
            "no request with GET or HEAD (--unsafe-methods sends the others)"
        } else {
            "no request"
        };
        return Err(wrong(format!("there is {hint} in it")).into());
    }
    let [spring, ours] = sides(args)?;
    let rules = Arc::new(rules(args)?);
    compare_all(args, requests.all, [spring, ours], &rules, &mut tally).await?;
    tally.end(args.json);
    Ok(if tally.is_same() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn sides(args: &DiffArgs) -> Result<[Arc<Side>; 2]> {
    let mut headers = Vec::new();
    for text in &args.header {
        let header = requests::header(text);
        headers.push(header.ok_or_else(|| UsageError(format!("--header `{text}`: expected `Name: value`")))?);
    }
    let sending = Sending { host: args.host.clone(), headers, timeout: Duration::from_secs(args.timeout) };
    let side = |flag, url: &str| Side::new(flag, url, args.ca.as_deref(), sending.clone()).map(Arc::new);
    Ok([side("--spring", &args.spring)?, side("--ours", &args.ours)?])
}

fn rules(args: &DiffArgs) -> Result<Rules> {
    if let Some(wrong) = args.ignore.iter().find(|pointer| !pointer.starts_with('/')) {
        bail!(UsageError(format!("--ignore `{wrong}`: expected a JSON pointer, such as /data/port")));
    }
    Ok(Rules {
        headers: args.compare_header.clone(),
        ignored_headers: args.ignore_header.iter().cloned().collect(),
        ignored: args.ignore.clone(),
        ignores_error_bodies: args.ignore_error_bodies,
    })
}

/// Sends them, so many at a time and in a second, and tells of them in their order.
async fn compare_all(
    args: &DiffArgs,
    requests: Vec<Request>,
    sides: [Arc<Side>; 2],
    rules: &Arc<Rules>,
    tally: &mut Tally,
) -> Result<()> {
    let mut ticks = interval(Duration::from_secs(1) / args.rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut running, mut waiting, mut told) = (JoinSet::new(), BTreeMap::new(), 0);
    let mut all = requests.into_iter().enumerate();
    loop {
        if running.len() < args.parallel.into()
            && let Some((at, request)) = all.next()
        {
            ticks.tick().await;
            let ([spring, ours], rules) = (sides.clone(), Arc::clone(rules));
            running.spawn(async move {
                let outcome = compared(&request, &spring, &ours, &rules).await;
                (at, request, outcome)
            });
            continue;
        }
        let Some(done) = running.join_next().await else { return Ok(()) };
        let (at, request, outcome) = done?;
        waiting.insert(at, (request, outcome));
        while let Some((request, outcome)) = waiting.remove(&told) {
            tally.note(&request, outcome, args.json);
            told += 1;
        }
    }
}

async fn compared(request: &Request, spring: &Side, ours: &Side, rules: &Rules) -> Outcome {
    match tokio::join!(spring.ask(request), ours.ask(request)) {
        (Ok(spring), Ok(ours)) => match rules.compare(&spring, &ours) {
            same if same.is_empty() => Outcome::Same,
            different => Outcome::Different(different),
        },
        (spring, ours) => {
            let sides = [("spring", spring.err()), ("ours", ours.err())];
            Outcome::Failed(sides.into_iter().filter_map(|(name, error)| Some((name, error?))).collect())
        }
    }
}
