//! `grayctl demo`: the whole chain on this machine, with real processes and real requests.
//!
//! The scenarios edit the live documents, the switch among them. So that a client of port 7000 does not see a chain
//! that is still being tried out, they run through a gateway on a port of its own; the one on port 7000 starts when
//! the documents are as they were.

mod beside;
mod live;
mod ports;
mod process;
mod scenario;
mod table;
mod tied;
mod with;

pub(crate) use tied::{TiedArgs, become_program};

use std::{
    env,
    future::poll_fn,
    io,
    path::{Path, PathBuf},
    task::Poll,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use tokio::{
    net::TcpStream,
    signal::unix::{Signal, SignalKind, signal},
};

use self::{
    beside::Beside,
    live::LiveDocuments,
    process::Fleet,
    scenario::Probe,
    with::{Broker, Plan, With},
};
use crate::{
    find::{DOCUMENTS, documents, repository_documents},
    print::{complain, say},
};

/// A debug build on a busy machine is ready in well under a second.
const READY: Duration = Duration::from_secs(30);
/// Groups of a broker take some seconds to form.
const BESIDE: Duration = Duration::from_secs(120);

/// Run the whole chain on this machine and try it out; nothing but Rust is needed.
///
/// Starts a gateway and two versions each of order-app and user-app, with a directory as registry, sends real requests
/// for every kind of rule, shows which versions answered, and stays up until Ctrl-C (or any signal that ends a program). Leaves nothing behind.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Directory with the YAML documents to start from [default: deploy/nacos of the repository around the current
    /// directory]; it is copied, never changed.
    #[arg(long, value_name = "DIR")]
    config: Option<PathBuf>,
    /// Beside the chain: kafka, rabbitmq (order-app tells it that an order was viewed, audit-app consumes it) or jobs (scheduled ones); may
    /// be repeated. `=ADDRESS` where it is not at its usual port here: kafka=HOST:PORT, rabbitmq=amqp://..., jobs=http://.../xxl-job-admin. A
    /// broker has to run already; `scripts/demo.sh --with ...` starts one. Jobs without a scheduler are run by curl.
    #[arg(long, value_name = "WHAT")]
    with: Vec<With>,
    /// Stop when the scenarios are through, instead of staying up.
    #[arg(long)]
    once: bool,
}

/// Where the demo keeps what it makes; removed at the end.
#[derive(Debug)]
struct Workspace {
    root: tempfile::TempDir,
}

impl Workspace {
    fn new() -> Result<Self> {
        let root =
            tempfile::Builder::new().prefix("gray-demo-").tempdir().context("cannot make a temporary directory")?;
        let workspace = Self { root };
        for dir in [workspace.registry(), workspace.config(), workspace.logs()] {
            std::fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        Ok(workspace)
    }

    fn registry(&self) -> PathBuf {
        self.root.path().join("registry")
    }

    fn config(&self) -> PathBuf {
        self.root.path().join("config")
    }

    fn logs(&self) -> PathBuf {
        self.root.path().join("logs")
    }
}

/// Runs the command.
pub(crate) async fn run(args: &DemoArgs) -> Result<()> {
    let mut stop = Stop::new()?;
    let plan = Plan::of(&args.with)?;
    let directory = match &args.config {
        Some(dir) => dir.clone(),
        None => repository_documents(&env::current_dir()?).with_context(|| {
            format!("no {DOCUMENTS} here or above: run it inside the repository, or give --config DIR")
        })?,
    };
    // The documents first: a wrong directory is found out before anything is looked for.
    documents(&directory)?;
    let programs = programs(&plan)?;
    ports::check_free(&plan.ports())?;
    if let Some(broker) = &plan.broker {
        reach(broker).await?;
    }
    let workspace = Workspace::new()?;
    let live = LiveDocuments::copy(&directory, &workspace.config())?;
    let mut fleet = Fleet::new(programs, &workspace);

    let outcome = tokio::select! {
        outcome = show(&mut fleet, &live, &workspace, &plan, args.once) => outcome,
        name = stop.wait() => {
            say(format_args!("\n{name}: stopping"));
            Ok(())
        }
    };
    fleet.stop().await;
    workspace.root.close().context("cannot remove the temporary directory")?;
    outcome
}

/// The demo itself; ends by itself only when something fails, or when it is to run once.
async fn show(fleet: &mut Fleet, live: &LiveDocuments, workspace: &Workspace, plan: &Plan, once: bool) -> Result<()> {
    let start = Instant::now();
    say("gray-chain demo: gateway → order-app → user-app, V1 in production and V2 in gray\n");
    // The chain alone: what is beside it sees nothing of the scenarios.
    Plan::default().services().iter().try_for_each(|service| fleet.start_service(service))?;
    let rehearsal = ports::Gateway::any_free()?;
    fleet.start_gateway("gateway (rehearsal)", rehearsal)?;
    fleet.wait_ready(READY).await?;
    let probe = Probe::new(rehearsal.port)?;
    probe.wait_for_chain(READY).await.context(fleet.tails())?;
    say(format_args!(
        "5 processes up in {:.1} s; {} requests each:\n",
        start.elapsed().as_secs_f32(),
        scenario::REQUESTS
    ));

    let rows = scenario::run_all(&probe, live).await.map_err(|error| error.context(fleet.tails()))?;
    say(table::render(&rows));
    let wrong = rows.iter().filter(|row| !row.as_expected()).count();
    if wrong > 0 {
        bail!("{wrong} of {} scenarios did not go as they should\n{}", rows.len(), fleet.tails());
    }
    if once && plan.is_empty() {
        return Ok(());
    }

    if plan.is_empty() {
        fleet.stop_last().await;
    } else {
        fleet.stop().await;
        plan.services().iter().try_for_each(|service| fleet.start_service(service))?;
    }
    fleet.start_gateway("gateway", ports::GATEWAY)?;
    fleet.wait_ready(READY).await?;
    try_beside(plan).await.map_err(|error| error.context(fleet.tails()))?;
    if once {
        return Ok(());
    }
    say(what_next(&workspace.config(), &workspace.logs(), plan));
    loop {
        complain(fleet.next_death().await);
        if fleet.is_empty() {
            bail!("every process of the demo has ended");
        }
    }
}

/// The chain answers, and what is beside it does what it is for.
async fn try_beside(plan: &Plan) -> Result<()> {
    let (probe, beside) = (Probe::new(ports::GATEWAY.port)?, Beside::new(BESIDE)?);
    if plan.broker.is_some() {
        beside.wait_for_consumers().await?;
    }
    probe.wait_for_chain(READY).await?;
    if let Some(broker) = &plan.broker {
        beside.try_messages(broker).await?;
    }
    if plan.runs_jobs() {
        beside.try_jobs().await?;
    }
    Ok(())
}

/// That something listens there; the programs would try for ever.
async fn reach(broker: &Broker) -> Result<()> {
    for host in &broker.hosts {
        let connecting = tokio::time::timeout(Duration::from_secs(3), TcpStream::connect(host));
        let connected = connecting.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let name = broker.kind.name();
        connected.with_context(|| {
            format!(
                "{} does not answer at {host}; start it, name another by --with {name}=ADDRESS, or run `scripts/demo.sh --with {name}`, which \
                starts one",
                broker.kind
            )
        })?;
    }
    Ok(())
}

fn what_next(config: &Path, logs: &Path, plan: &Plan) -> String {
    let ports::Gateway { port, admin_port } = ports::GATEWAY;
    let (config, logs, beside) = (config.display(), logs.display(), plan.what_next());
    format!(
        "\nThe chain is up. Try it:\n\
        \n  curl http://127.0.0.1:{port}/order-api/order/N0001                      # V1 → V1\
        \n  curl -H 'gray: gray-996' http://127.0.0.1:{port}/order-api/order/N0001  # V2 → V2\
        \n  curl http://127.0.0.1:{admin_port}/metrics                                     # what the gateway counted\
        {beside}\
        \n\nEdit a document and send the same request again; a change takes effect as you save:\n\
        \n  {config}/gateway-app.yaml      who is gray, routes\
        \n  {config}/gray-rules.yaml       who is on which lane\
        \n  {config}/common-config.yaml    the switch, the versions\
        \n\nLogs: {logs}    Stop: Ctrl-C"
    )
}

/// Where the programs are, which is beside our own executable.
fn programs(plan: &Plan) -> Result<PathBuf> {
    let own = env::current_exe().context("cannot tell where grayctl itself is")?;
    let dir = own.parent().context("grayctl has no directory")?;
    let services = plan.services();
    let wanted = ["gray-gateway"].into_iter().chain(services.iter().map(|service| service.program));
    let missing: Vec<_> = wanted.filter(|name| !dir.join(name).is_file()).collect();
    if !missing.is_empty() {
        bail!("{} missing in {}; build with: {}", missing.join(", "), dir.display(), plan.build());
    }
    for (program, flag) in plan.flags() {
        let help = std::process::Command::new(dir.join(program)).arg("--help").output();
        let help = help.with_context(|| format!("cannot run {program}"))?;
        if !String::from_utf8_lossy(&help.stdout).contains(flag) {
            bail!("{program} in {} was built without {flag}; build with: {}", dir.display(), plan.build());
        }
    }
    Ok(dir.to_owned())
}

/// What ends the demo from outside: whatever would end it anyway, but in order, so that nothing is left behind.
struct Stop(Vec<(&'static str, Signal)>);

impl Stop {
    fn new() -> Result<Self> {
        // A terminal that is closed says SIGHUP to the demo and to its children; they take it for something else.
        let kinds = [
            ("SIGINT", SignalKind::interrupt()),
            ("SIGTERM", SignalKind::terminate()),
            ("SIGQUIT", SignalKind::quit()),
            ("SIGHUP", SignalKind::hangup()),
            ("SIGUSR1", SignalKind::user_defined1()),
            ("SIGUSR2", SignalKind::user_defined2()),
        ];
        Ok(Self(kinds.into_iter().map(|(name, kind)| Ok((name, signal(kind)?))).collect::<Result<_>>()?))
    }

    async fn wait(&mut self) -> &'static str {
        poll_fn(|cx| {
            let told = self.0.iter_mut().find_map(|(name, signal)| signal.poll_recv(cx).is_ready().then_some(*name));
            told.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process};

    use super::Stop;

    #[tokio::test]
    async fn every_signal_that_would_end_the_demo_ends_it_in_order() {
        let mut stop = Stop::new().expect("listening");
        for (signal, name) in [
            (Signal::HUP, "SIGHUP"),
            (Signal::QUIT, "SIGQUIT"),
            (Signal::USR1, "SIGUSR1"),
            (Signal::USR2, "SIGUSR2"),
            (Signal::TERM, "SIGTERM"),
            (Signal::INT, "SIGINT"),
        ] {
            kill_process(getpid(), signal).expect("sent");
            assert_eq!(tokio::time::timeout(Duration::from_secs(10), stop.wait()).await, Ok(name));
        }
    }
}
