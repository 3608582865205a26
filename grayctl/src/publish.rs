//! `grayctl publish`: puts the configuration documents into Nacos.

mod beta;
mod diff;
mod judge;

use std::{
    io::{self, BufRead, IsTerminal as _, Write as _},
    net::IpAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Result;
use clap::Args;
use gray_common::service::UsageError;
use gray_document::{Profiles, Reading};
use gray_nacos::{NacosOptions, NacosTls, context_path, dialect::Beta};

use self::judge::Judging;
use crate::{
    find::{DOCUMENTS, Document, documents},
    nacos::{Ensured, Nacos, Place},
    print::{complain, say},
};

/// Put the configuration documents into Nacos and check that they arrived.
///
/// Checks every *.yaml, *.yml, *.properties and *.json of a directory (the file's name is the data id), waits until Nacos is ready, shows what would
/// change, asks, and writes: all of it or, when one document would be refused, nothing. A document that is already
/// there and reads differently is left alone, because it may have been edited live; --overwrite replaces it. What a gateway
/// reads is judged as `gray-gateway --check-config` judges it.
///
/// For some gateways first: --beta gives the documents to these alone (Nacos' gray publish), --promote to all, --withdraw
/// takes them back.
///
/// Exit codes: 0 published, or nothing to do; 1 a document would be refused, the answer was no, or Nacos failed; 2 wrong
/// usage, which a question without a terminal is (--yes).
#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    /// Nacos' address, as host:port of its HTTP API.
    #[arg(long, env = "GRAY_NACOS", value_name = "HOST:PORT", default_value = "127.0.0.1:8848")]
    nacos: String,
    /// Path below which the HTTP API of Nacos is; empty or / for none.
    #[arg(long, env = "GRAY_NACOS_CONTEXT", value_name = "PATH", default_value = gray_nacos::DEFAULT_CONTEXT,
          value_parser = context_path)]
    nacos_context: String,
    /// Speak TLS to Nacos.
    #[arg(long, env = "GRAY_NACOS_TLS")]
    nacos_tls: bool,
    /// PEM file with the CAs of Nacos' certificate, besides Mozilla's roots; switches --nacos-tls on.
    #[arg(long, env = "GRAY_NACOS_CA", value_name = "FILE")]
    nacos_ca: Option<PathBuf>,
    /// Namespace id; created if missing. "public" is Nacos' own.
    #[arg(long, env = "GRAY_NAMESPACE", default_value = "spring-cloud-gray-example")]
    namespace: String,
    /// Group of the documents.
    #[arg(long, env = "GRAY_GROUP", default_value = "DEFAULT_GROUP")]
    group: String,
    /// Directory with the YAML documents.
    #[arg(long, value_name = "DIR", default_value = DOCUMENTS)]
    dir: PathBuf,
    /// Replace documents that are there and differ.
    #[arg(long)]
    overwrite: bool,
    /// Give the documents to the programs with these addresses alone; `grayPublish.address` of their /status says which that is. IPs,
    /// separated by commas.
    #[arg(long, value_name = "IP", value_delimiter = ',', conflicts_with_all = ["promote", "withdraw"])]
    beta: Vec<IpAddr>,
    /// Give the texts of --beta to all, and end the gray publish: of the documents that --dir names; what they say there does
    /// not matter.
    #[arg(long, conflicts_with = "withdraw")]
    promote: bool,
    /// End the gray publish of the documents that --dir names: all have the same text again.
    #[arg(long)]
    withdraw: bool,
    /// Write without asking; needed where there is no terminal to ask at.
    #[arg(long, short)]
    yes: bool,
    /// Active profile; repeated, or separated by commas. Parts of documents for others are not judged by what they say.
    #[arg(long, env = "GRAY_PROFILE", value_name = "NAME", value_delimiter = ',')]
    profile: Vec<String>,
    /// Key under which the gray settings stand in the documents.
    #[arg(long, env = "GRAY_PREFIX", default_value = "kerwin.tool.gray")]
    prefix: String,
    /// How long to wait for Nacos, in seconds.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    wait: u64,
    /// User, where Nacos wants a login: every 3.x does, and 2.x with authentication switched on.
    #[arg(long, env = "GRAY_NACOS_USERNAME", requires = "password")]
    username: Option<String>,
    /// The user's password; better given in the environment than on the command line.
    #[arg(long, env = "GRAY_NACOS_PASSWORD", hide_env_values = true, value_name = "PASSWORD", requires = "username")]
    password: Option<String>,
}

/// What is to happen to a document.
enum Change {
    Unchanged,
    /// It is there, reads differently, and stays as it is.
    Kept(Vec<String>),
    Replaced(Vec<String>),
    Published,
}

impl Change {
    fn of(document: &Document, there: Option<&str>, overwrite: bool) -> Self {
        match there {
            None => Self::Published,
            Some(there) if there == document.text => Self::Unchanged,
            Some(there) if overwrite => Self::Replaced(diff::unified(there, &document.text)),
            Some(there) => Self::Kept(diff::unified(there, &document.text)),
        }
    }

    fn writes(&self) -> bool {
        matches!(self, Self::Published | Self::Replaced(_))
    }
}

/// Runs the command.
pub(crate) async fn run(args: &PublishArgs) -> Result<ExitCode> {
    let documents = documents(&args.dir)?;
    // First by themselves: what is wrong here needs no server to be seen.
    let profiles = Profiles::new(args.profile.iter().map(String::as_str));
    let mut reading = Reading::from(profiles.map_err(|reason| UsageError(format!("--profile: {reason}")))?);
    // What a gateway is told to take for a list of routes is not known here.
    let json = documents.iter().filter(|document| document.name.ends_with(".json"));
    reading.lists.extend(json.map(|document| (document.name.clone(), "routes-document".to_owned())));
    let judging = Judging { prefix: args.prefix.clone(), reading };
    let is_ended = args.promote || args.withdraw;
    if !is_ended && refused(&documents, documents.iter(), &judging) {
        return Ok(ExitCode::FAILURE);
    }
    let mut nacos = connect(args).await?;
    if let (Some(user), Some(password)) = (&args.username, &args.password) {
        nacos.log_in(user, password).await?;
    }
    let there = Server { nacos, namespace: namespace(args), group: &args.group };
    let names = || documents.iter().map(|document| document.name.clone()).collect::<Vec<_>>();
    let is_done = match args {
        _ if args.promote => beta::promote(args, &there, &names(), &judging).await?,
        _ if args.withdraw => beta::withdraw(args, &there, &names()).await?,
        _ if !args.beta.is_empty() => beta::publish(args, &there, &documents, &judging).await?,
        _ => publish(args, &there, &documents, &judging).await?,
    };
    Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes the documents for all. False: nothing was written, and why is printed.
async fn publish(args: &PublishArgs, there: &Server<'_>, documents: &[Document], judging: &Judging) -> Result<bool> {
    let mut changes = Vec::new();
    for document in documents {
        let before = there.document(&document.name).await?;
        let change = Change::of(document, before.as_deref(), args.overwrite);
        changes.push((document, before, change));
    }
    let written = changes.iter().filter(|(.., change)| change.writes());
    let (written, before): (Vec<_>, Vec<_>) =
        written.map(|(document, before, _)| (*document, before.as_deref())).unzip();
    let after = there.after(&written).await?;
    if refused(&after, written.iter().copied(), judging) | vanishes(&after, &written, &before, judging) {
        return Ok(false);
    }
    for (document, _, change) in &changes {
        show(&document.name, change);
    }
    if written.is_empty() {
        return Ok(true);
    }
    if !confirmed(args, &there.question("write", written.len(), ""))? {
        return Ok(false);
    }
    there.ensure_namespace().await?;
    for Document { name, text } in written {
        there.nacos.publish(there.place(name), text).await?;
        say(format_args!("published  {name}"));
    }
    Ok(true)
}

/// Whether the change is wanted; that nothing is written otherwise is printed.
fn confirmed(args: &PublishArgs, question: &str) -> Result<bool> {
    let is_wanted = args.yes || agreed(question)?;
    if !is_wanted {
        complain("nothing is written");
    }
    Ok(is_wanted)
}

async fn connect(args: &PublishArgs) -> Result<Nacos> {
    let tls = args.nacos_tls || args.nacos_ca.is_some();
    let tls = tls.then(|| NacosTls::new(args.nacos_ca.as_deref())).transpose()?;
    let mut options = NacosOptions::new(&args.nacos);
    options.tls = tls;
    options.context.clone_from(&args.nacos_context);
    let nacos = Nacos::new(options)?;
    nacos.wait_ready(Duration::from_secs(args.wait)).await?;
    Ok(nacos)
}

/// The public namespace always exists, and its documents carry no tenant.
fn namespace(args: &PublishArgs) -> &str {
    if args.namespace == "public" { "" } else { &args.namespace }
}

/// Whether one of `judged` would be refused by those that read it among `documents`; why is printed.
fn refused<'d>(documents: &[Document], judged: impl Iterator<Item = &'d Document>, judging: &Judging) -> bool {
    told(judged.flat_map(|document| judge::errors(&document.name, documents, judging)).collect())
}

/// The same for what the programs that run would miss in `written`, of which the server has `before`.
fn vanishes(after: &[Document], written: &[&Document], before: &[Option<&str>], judging: &Judging) -> bool {
    let replaced = written.iter().zip(before).filter_map(|(document, before)| Some((&document.name, (*before)?)));
    told(replaced.flat_map(|(name, before)| judge::losses(name, before, after, judging)).collect())
}

/// Prints the errors; whether there are any.
fn told(errors: Vec<String>) -> bool {
    if !errors.is_empty() {
        complain(format_args!("nothing is written, these documents would be refused:\n{}", errors.join("\n")));
    }
    !errors.is_empty()
}

fn show(name: &str, change: &Change) {
    let (what, lines) = match change {
        Change::Unchanged => ("unchanged  ", None),
        Change::Published => ("new        ", None),
        Change::Replaced(lines) => ("differs    ", Some(lines)),
        Change::Kept(lines) => ("kept       ", Some(lines)),
    };
    let why = match change {
        Change::Kept(_) => ": Nacos holds another text (edited live?); --overwrite replaces it",
        Change::Replaced(lines) if lines.is_empty() => ": in the ends of its lines",
        _ => "",
    };
    say(format_args!("{what}{name}{why}"));
    lines.into_iter().flatten().for_each(|line| say(format_args!("    {line}")));
}

/// Asks at the terminal.
///
/// # Errors
/// When there is none.
fn agreed(question: &str) -> Result<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        let what = "nothing is written: there is no terminal to ask at; give --yes to publish without being asked";
        return Err(UsageError(what.to_owned()).into());
    }
    let mut terminal = io::stderr().lock();
    drop(write!(terminal, "{question} [y/N] ").and_then(|()| terminal.flush()));
    Ok(is_yes(io::stdin().lock()))
}

fn is_yes(mut answer: impl BufRead) -> bool {
    let mut line = String::new();
    answer.read_line(&mut line).is_ok() && ["y", "yes"].contains(&line.trim().to_lowercase().as_str())
}

/// One namespace and group of a Nacos.
struct Server<'a> {
    nacos: Nacos,
    namespace: &'a str,
    group: &'a str,
}

impl Server<'_> {
    async fn document(&self, name: &str) -> Result<Option<String>> {
        self.nacos.document(self.place(name)).await
    }

    async fn beta(&self, name: &str) -> Result<Option<Beta>> {
        self.nacos.beta(self.place(name)).await
    }

    fn place<'a>(&'a self, name: &'a str) -> Place<'a> {
        Place::new(self.namespace, self.group, name)
    }

    /// What programs will read once `written` is written.
    async fn after(&self, written: &[&Document]) -> Result<Vec<Document>> {
        let mut documents: Vec<_> = written.iter().map(|&document| document.clone()).collect();
        for name in [judge::SHARED, judge::GATEWAY, judge::RULES] {
            if !documents.iter().any(|document| document.name == name)
                && let Some(text) = self.document(name).await?
            {
                documents.push(Document { name: name.to_owned(), text });
            }
        }
        Ok(documents)
    }

    fn question(&self, what: &str, count: usize, for_whom: &str) -> String {
        let documents = if count == 1 { "this document".to_owned() } else { format!("these {count} documents") };
        let namespace = if self.namespace.is_empty() { "public" } else { self.namespace };
        format!("{what} {documents}{for_whom}: {}, namespace {namespace}, group {}?", self.nacos, self.group)
    }

    async fn ensure_namespace(&self) -> Result<()> {
        if !self.namespace.is_empty() {
            let namespace = self.namespace;
            match self.nacos.ensure_namespace(namespace).await? {
                Ensured::Created => say(format_args!("created    namespace {namespace}")),
                Ensured::Present => {}
                Ensured::Unknown(said) => complain(format_args!(
                    "this user may not see which namespaces there are ({said}); going on: if {namespace} does not exist, an \
                     administrator has to create it before the console shows the documents"
                )),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for (answer, expect) in
            [("y\n", true), (" Yes\n", true), ("", false), ("\n", false), ("n\n", false), ("yy", false)]
        {
            assert_eq!(is_yes(answer.as_bytes()), expect, "{answer:?}");
        }
    }

    #[test]
    fn what_differs_is_kept_unless_told_otherwise() {
        let document = Document { name: "a.yaml".into(), text: "a: 1\n".into() };
        for (there, overwrite, writes) in [
            (None, false, true),
            (Some("a: 1\n"), true, false),
            (Some("a: 2\n"), false, false),
            (Some("a: 2\n"), true, true),
            (Some("a: 1"), true, true),
        ] {
            assert_eq!(Change::of(&document, there, overwrite).writes(), writes, "{there:?} {overwrite}");
        }
    }
}
