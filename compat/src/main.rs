//! Spring Cloud Gateway and ours, the same documents, the same requests: `make compat`.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Parser;
use compat::{
    answers::Answers,
    backend::Backend,
    cases,
    differences::{Judged, judge},
    document::{Case, Document},
    observe::{Difference, only},
    release::Release,
    run,
    spring::Spring,
};

/// Compares ours with Spring Cloud Gateway, one release after the other.
#[derive(Debug, Parser)]
#[command(name = "compat")]
struct Args {
    /// Release to compare with (3.1, 4.1, 4.3, 5.0); all without
    #[arg(long)]
    release: Vec<Release>,
    /// Documents whose name contains this; all without
    #[arg(long, default_value = "")]
    document: String,
    /// Compare with what is recorded; needs no Java
    #[arg(long, conflicts_with = "record")]
    replay: bool,
    /// Write what Spring says to compat/answers; of documents that are not asked for, what is there stays
    #[arg(long)]
    record: bool,
    /// Examples to print of each kind of difference
    #[arg(long, default_value = "3")]
    examples: usize,
    /// The Maven project
    #[arg(long, value_name = "DIR", default_value = "compat/jvm")]
    jvm: PathBuf,
}

/// What was found, by kind.
#[derive(Debug, Default)]
struct Summary {
    cases: usize,
    equal: usize,
    known: BTreeMap<&'static str, usize>,
    unknown: BTreeMap<String, Vec<String>>,
}

impl Summary {
    fn add(&mut self, case: Case<'_>, judged: Vec<Judged>) {
        self.cases += 1;
        self.equal += usize::from(judged.is_empty());
        for (difference, row) in judged {
            if let Some(name) = row {
                *self.known.entry(name).or_default() += 1;
                continue;
            }
            let Difference { aspect, spring, ours } = &difference;
            let yaml = if case.route.is_some() { case.yaml() } else { "" };
            let example = format!(
                "{}: {}\n      {yaml}\n      {aspect}: Spring `{spring}`, ours `{ours}`",
                case.document.name, case.request
            );
            self.unknown.entry(difference.kind()).or_default().push(example);
        }
    }

    fn print(&self, release: Release, examples: usize) {
        println!("Spring Cloud Gateway {release}: {} cases, {} without any difference", self.cases, self.equal);
        for (name, count) in &self.known {
            println!("  known    {count:>5}  {name}");
        }
        for (kind, found) in &self.unknown {
            println!("  UNKNOWN  {:>5}  {kind}", found.len());
            found.iter().take(examples).for_each(|example| println!("    {example}"));
        }
    }
}

async fn compared(release: Release, documents: &[&Document], args: &Args, backend: &Backend) -> Result<Summary> {
    let recorded = if args.replay { Some(Answers::read(release)?) } else { None };
    let jvm = if args.replay { None } else { Some(Spring::start(release, &args.jvm).await?) };
    let mut summary = Summary::default();
    let mut answers = if args.document.is_empty() { Answers::default() } else { Answers::read(release)? };
    for document in documents.iter().filter(|document| document.since <= release) {
        let ours = run::ours(release, document, backend).await?;
        let spring = match (&jvm, &recorded) {
            (Some(jvm), _) => run::spring(jvm, release, document, backend).await?,
            (None, recorded) => {
                let recorded = |case| recorded.as_ref().and_then(|answers| answers.get(case)).cloned();
                let cases = document.cases(release);
                cases.map(|case| (case, recorded(case).unwrap_or_else(|| only("not recorded")))).collect()
            }
        };
        for ((case, spring), (_, ours)) in spring.into_iter().zip(ours) {
            summary.add(case, judge(release, case, &spring, &ours));
            answers.insert(case, spring);
        }
    }
    if args.record {
        answers.write(release)?;
    }
    Ok(summary)
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let all = cases::all()?;
    let documents: Vec<_> = all.iter().filter(|document| document.name.contains(&args.document)).collect();
    let backend = Backend::start().await?;
    let releases = if args.release.is_empty() { Release::ALL.to_vec() } else { args.release.clone() };
    let mut is_known = true;
    for release in releases {
        let summary = compared(release, &documents, &args, &backend).await?;
        summary.print(release, args.examples);
        is_known &= summary.unknown.is_empty();
    }
    Ok(if is_known { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
