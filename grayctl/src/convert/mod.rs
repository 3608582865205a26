//! `grayctl convert`: a Spring Cloud Gateway application, read as the gateway would read it.

mod input;
mod java;
mod needs;
mod plan;
mod report;
mod skeleton;
mod written;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use clap::Args;
use gray_document::{Documents, Problem};
use gray_routes::RouteTable;
use gray_rules::{Finding, RuleSet, Severity};
use gray_settings::GraySettings;

use self::{
    input::Inputs,
    java::{Class, Found, Role},
    needs::{Needs, Place},
    plan::{Plan, RULES},
    report::Report,
    written::Out,
};
use crate::print::say;

/// Read a Spring Cloud Gateway application, and say what of it is taken, what has to be chosen and what is left out.
///
/// PATH is a file of the application (application.yml, bootstrap.yml, application-PROFILE.properties), a directory of documents
/// exported from Nacos or Nacos' export as a zip, a directory with sources (src/main/resources, src/main/java), or a jar; several
/// are read together. Documents are judged by the reader that the gateway has; classes are told by what they extend. Nothing is
/// sent anywhere.
///
/// Exit codes: 0 everything is taken; 1 there is something to do; 2 wrong usage.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ConvertArgs {
    /// Files, directories and archives of one gateway.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Name of the program's own documents (spring.application.name). Without it: what its files say.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Active profile; repeated, or separated by commas. Without it: what the files say.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    profile: Vec<String>,
    /// Directory for the documents of the new gateway: those of Spring unchanged, under the names that it reads, and
    /// gray-rules.yaml with a choice for everything that Java code did.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace files in --out that differ.
    #[arg(long, requires = "out")]
    force: bool,
    /// Key under which gray settings stand in the documents.
    #[arg(long, env = "GRAY_PREFIX", default_value = "kerwin.tool.gray")]
    prefix: String,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  A project with its sources, and what it has in Nacos (exported there as a zip):
    grayctl convert shop-gateway/ nacos_config_export.zip --profile prod

  A jar, with the documents for the new gateway:
    grayctl convert shop-gateway.jar --out converted

  What is still to do after choices were made:
    grayctl convert converted --name shop-gateway";

/// Runs the command.
pub(crate) fn run(args: &ConvertArgs) -> Result<ExitCode> {
    let inputs = Inputs::read(&args.paths)?;
    let plan = Plan::new(&inputs.documents, args.name.as_deref(), &args.profile)?;
    let release = skeleton::release(&inputs);
    let directory = args.out.as_deref().unwrap_or_else(|| Path::new("DIR")).display().to_string();
    let mut report = judge(plan, &inputs.classes, &args.prefix, &directory);
    report.notes = inputs.notes;
    if let Some(out) = &args.out {
        let skeleton = skeleton::render(&report.plan.name, &report.needs, &report.java, release.as_ref());
        let has_rules = report.plan.documents.iter().any(|one| one.file == RULES);
        let mut documents: Vec<_> =
            { report.plan.documents.iter() }.map(|one| Out { path: one.path(), text: &one.input.text }).collect();
        match &skeleton {
            Some(_) if has_rules => {
                report.notes.push(format!("{RULES} is there: choices that it lacks are not written into it"))
            }
            Some(text) => documents.push(Out { path: RULES.to_owned(), text }),
            None => {}
        }
        report.written = written::write(out, &documents, args.force)?;
    }
    if args.json {
        say(format_args!("{:#}", report.json()));
    } else {
        say(report.text());
    }
    Ok(if report.open() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the gateway makes of the documents.
#[derive(Default)]
struct Judged {
    has_locator: bool,
    findings: Vec<Finding>,
    needs: Needs,
}

fn judge(plan: Plan, classes: &[Class], prefix: &str, directory: &str) -> Report {
    let mut problems = plan.problems.clone();
    let mut judged = Judged::default();
    let read = Documents::parse_for(&plan.sources(), &plan.reading, &plan::environment);
    let mut start = plan.start(None, directory);
    match &read {
        Ok(documents) => {
            judged = Judged::of(documents, prefix);
            problems.extend(documents.take_problems());
            judged.sort_out(documents, &mut problems);
            start = plan.start(Some(documents), directory);
        }
        Err(unreadable) => problems.extend(unreadable.iter().cloned()),
    }
    // Where a file of the program is read twice, it is told once.
    let mut seen = Vec::new();
    problems.retain(|problem| {
        let is_new = !seen.contains(problem);
        if is_new {
            seen.push(problem.clone());
        }
        is_new
    });
    let check = ["gray-gateway --check-config".to_owned(), format!("--config-dir {}", plan::quoted(directory))];
    let check = check.into_iter().chain(plan.flags(directory)).collect::<Vec<_>>().join(" ");
    let Judged { has_locator, findings, needs } = judged;
    let java = java(classes, &needs);
    let commands = vec![check, start];
    let (notes, written) = Default::default();
    Report { plan, has_locator, needs, problems, findings, java, notes, commands, written }
}

impl Judged {
    /// Reads everything that the gateway reads, in its order.
    fn of(documents: &Documents, prefix: &str) -> Self {
        let root = documents.root();
        let settings = GraySettings::read(&root, prefix);
        drop(RuleSet::read(documents, &settings));
        let table = RouteTable::read(&root);
        GraySettings::warn_unread(&root);
        let is_worse = |finding: &Finding| finding.severity != Severity::Note;
        Self {
            has_locator: table.locator().is_some(),
            findings: table.lint().into_iter().filter(is_worse).collect(),
            needs: Needs::default(),
        }
    }

    /// Takes from the problems what is to be chosen, so that it is told once.
    fn sort_out(&mut self, documents: &Documents, problems: &mut Vec<Problem>) {
        let mut needs = Needs::of(documents);
        // What the second look finds wrong has been said.
        drop(documents.take_problems());
        let is_at = |place: &Place, problem: &Problem| {
            let below = problem.path.strip_prefix(&*place.path);
            problem.origin.document == place.origin.document
                && below.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        needs.without(documents, |place| {
            problems.iter().any(|problem| is_at(place, problem) && problem.message.contains("did you mean"))
        });
        // Something else may be wrong with the same filter.
        let is_chosen = |problem: &Problem| {
            let mut all = needs.all();
            all.any(|(_, name, places)| {
                problem.message.contains(&**name) && places.iter().any(|place| is_at(place, problem))
            })
        };
        problems.retain(|problem| !is_chosen(problem));
        self.needs = needs;
    }
}

/// What is of interest in the classes, with the controllers that a `forward:` names.
fn java(classes: &[Class], needs: &Needs) -> Vec<Found> {
    let mut found = java::roles(classes);
    for class in classes {
        for (path, line) in java::mappings(class) {
            if needs.forwards.contains_key(&path) {
                let (name, file) = (class.name.clone(), class.file.clone());
                found.push(Found { role: Role::Fallback, class: name, name: path, file, line, hint: None });
            }
        }
    }
    // Key resolvers and filters that no route asks for do nothing.
    found.retain(|one| match one.role {
        Role::KeyResolver => needs.resolvers.contains_key(&one.name),
        Role::FilterFactory => needs.filters.contains_key(&one.name),
        _ => true,
    });
    found
}
