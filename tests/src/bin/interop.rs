//! Services in other languages, and in Rust on another stack, in one chain with ours: `make test-interop`. docs/interop.md has the figures.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::{process::ExitCode, sync::Arc};

use anyhow::{Context as _, Result};
use clap::Parser;
use e2e_tests::{
    Eureka, Nacos,
    interop::{Beside, Home, Hop, Kind, Mixed, Report, Role, Row, Stack},
};

/// Runs chains of services in other languages and counts which versions answer.
#[derive(Debug, Parser)]
#[command(name = "interop")]
struct Args {
    /// Directories of examples/; all without
    stacks: Vec<Stack>,
    /// Requests in each lane
    #[arg(long, default_value_t = 200)]
    requests: usize,
    /// Only the language with itself and without its agent; no instance is killed
    #[arg(long)]
    short: bool,
}

const BOTH: Beside = Beside { agent: true, egress: true };

/// A chain: its lanes, and its faults if there are instances enough.
async fn measure(chain: &mut Mixed, name: String, each: usize, faults: Option<Role>, kind: Kind) -> Result<Row> {
    let lanes = chain.lanes(each).await;
    let faults = match faults {
        Some(role) => Some(chain.faults(role).await?),
        None => None,
    };
    Ok(Row { chain: name, lanes, faults, kind })
}

fn note(report: &mut Report, row: Row, chain: &Mixed) {
    let good = row.is_as_expected();
    println!("{}: {}", row.chain, if good { "as expected" } else { "NOT AS EXPECTED" });
    if let Some(first) = row.first() {
        println!("    first: {first}");
    }
    if !good {
        println!("{}", chain.logs());
    }
    report.add(row);
    // Chain by chain: what was measured is shown, should the rest not come to its end.
    println!("{}", report.table());
}

async fn pair(nacos: &Arc<Nacos>, stack: Stack, args: &Args, report: &mut Report) -> Result<()> {
    let one = |stack| Hop { stack, old: 1 };
    let three = |stack| Hop { stack, old: if args.short { 1 } else { 3 } };
    let killed = |role| if args.short { None } else { Some(role) };
    let mut chain = Mixed::start(Home::on_nacos(nacos).await?, one(stack), three(stack), BOTH).await?;
    let row = measure(&mut chain, format!("{stack} → {stack}"), args.requests, killed(Role::User), Kind::Ours).await?;
    note(report, row, &chain);
    chain.replace_orders(Beside { agent: false, egress: true }).await?;
    let name = format!("{stack} → {stack}, without {}", stack.carrier());
    let row = measure(&mut chain, name, args.requests, None, Kind::Control).await?;
    note(report, row, &chain);
    if args.short {
        return Ok(());
    }
    chain.replace_orders(Beside { agent: true, egress: false }).await?;
    let name = format!("{stack} → {stack}, without the egress");
    let row = measure(&mut chain, name, args.requests, None, Kind::Control).await?;
    note(report, row, &chain);
    drop(chain);
    for (order, user, role) in [(stack, Stack::Rust, Role::Order), (Stack::Rust, stack, Role::User)] {
        let hop = |stack, own| if own == role { three(stack) } else { one(stack) };
        let (order_hop, user_hop) = (hop(order, Role::Order), hop(user, Role::User));
        let mut chain = Mixed::start(Home::on_nacos(nacos).await?, order_hop, user_hop, BOTH).await?;
        let row = measure(&mut chain, format!("{order} → {user}"), args.requests, Some(role), Kind::Ours).await?;
        note(report, row, &chain);
    }
    if stack == Stack::JavaBoot35 {
        behind_java(nacos, report).await?;
    }
    Ok(())
}

/// What the same faults cost behind Spring's own gateway.
async fn behind_java(nacos: &Arc<Nacos>, report: &mut Report) -> Result<()> {
    let (order, user) = (Hop { stack: Stack::JavaBoot35, old: 3 }, Hop { stack: Stack::Rust, old: 1 });
    let mut chain = Mixed::start(Home::on_nacos(nacos).await?, order, user, BOTH).await?;
    chain.through_java().await?;
    let faults = Some(chain.faults(Role::Order).await?);
    let chain_name = format!("{} → {}, behind Spring Cloud Gateway", order.stack, user.stack);
    note(report, Row { chain: chain_name, lanes: Vec::new(), faults, kind: Kind::Peer }, &chain);
    Ok(())
}

/// The same on Eureka, where versions are values of `versionId`: with ours on either side, and with itself without its agent. No instance
/// is killed: docs/eureka.md says how late Java hears of that.
async fn pair_on_eureka(args: &Args, report: &mut Report) -> Result<()> {
    let stack = Stack::JavaEureka;
    let one = |stack| Hop { stack, old: 1 };
    for (order, user) in [(stack, Stack::Rust), (Stack::Rust, stack)] {
        // Each on a server of its own, which lists no other services.
        let eureka = Eureka::start(&[]).await?;
        let mut chain = Mixed::start(Home::on_eureka(&eureka), one(order), one(user), BOTH).await?;
        let row = measure(&mut chain, format!("{order} → {user}"), args.requests, None, Kind::Ours).await?;
        note(report, row, &chain);
        if order == stack {
            chain.replace_orders(Beside { agent: false, egress: true }).await?;
            let name = format!("{order} → {user}, without {}", stack.carrier());
            let row = measure(&mut chain, name, args.requests, None, Kind::Control).await?;
            note(report, row, &chain);
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let stacks = if args.stacks.is_empty() { Stack::OTHERS.to_vec() } else { args.stacks.clone() };
    let mut nacos = None;
    let mut report = Report::default();
    let mut failed = false;
    for stack in stacks {
        // If one cannot be started, the others are tried all the same.
        let outcome = if stack == Stack::JavaEureka {
            pair_on_eureka(&args, &mut report).await
        } else {
            let nacos = match &mut nacos {
                Some(nacos) => nacos,
                None => nacos.insert(Arc::new(Nacos::start().await?)),
            };
            pair(nacos, stack, &args, &mut report).await
        };
        if let Err(error) = outcome {
            println!("{stack}: {error:#}");
            failed = true;
        }
    }
    if let Some(nacos) = nacos {
        Arc::into_inner(nacos).context("a chain still holds Nacos")?.remove().await?;
    }
    Ok(if report.pass() && !failed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
