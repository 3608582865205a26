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
use gray_document::{Documents, Problem, Purpose, Reading};
use gray_routes::{Question, Verdict};
use gray_rules::Severity;

use self::{
    input::Inputs,
    java::{Class, Found, Role},
    needs::Needs,
    plan::{Plan, RULES},
    report::Report,
    written::Out,
};
use crate::{config::now, print::say};

/// Read a Spring Cloud Gateway application, and say what of it is taken, what has to be chosen and what is skipped.
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
    let directory = args.out.as_deref().unwrap_or_else(|| Path::new("DIR")).display().to_string();
    let Converted { mut report, choices } = Converted::of(plan, &inputs, &args.prefix, &directory);
    if let Some(out) = &args.out {
        let mut documents: Vec<_> =
            { report.plan.documents.iter() }.map(|one| Out { path: one.path(), text: &one.input.text }).collect();
        documents.extend(choices.as_deref().map(|text| Out { path: RULES.to_owned(), text }));
        report.written = written::write(out, &documents, args.force)?;
    }
    if args.json {
        say(format_args!("{:#}", report.json()));
    } else {
        say(report.text());
    }
    Ok(if report.open() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What becomes of an application.
struct Converted {
    report: Report,
    /// The document with the choices, where there are any and it is not there yet.
    choices: Option<String>,
}

impl Converted {
    fn of(plan: Plan, inputs: &Inputs, prefix: &str, directory: &str) -> Self {
        let sources = plan.sources();
        let first = verdict(&plan, &sources, prefix);
        let reading = Reading { purpose: Purpose::Check, ..plan.reading.clone() };
        let documents = Documents::parse_for(&sources, &reading, &plan::environment).ok();
        let mut needs = documents.as_ref().map(Needs::of).unwrap_or_default();
        needs.take_access(&first.problems);
        if let Some(documents) = &documents {
            needs.without(documents, |place| {
                let is_slip = |problem: &Problem| problem.message.contains("did you mean");
                first.problems.iter().any(|problem| place.is_of(problem) && is_slip(problem))
            });
        }
        let java = java(&inputs.classes, &needs);
        let mut notes = inputs.notes.clone();
        let release = skeleton::release(inputs);
        let mut choices = skeleton::render(&plan.name, &needs, &java, release.as_ref());
        let has_rules = plan.documents.iter().any(|one| one.file == RULES);
        if has_rules && choices.take().is_some() {
            notes.push(format!("{RULES} is there, and what it lacks is not written into it"));
        }
        // The reader has the last word: on the documents with the choices.
        let last = match &choices {
            Some(text) => verdict(&plan, &[&sources[..], &[(RULES, text)]].concat(), prefix),
            None => first,
        };
        let mut problems = plan.problems.clone();
        for problem in last.problems {
            if !problems.contains(&problem) && !needs.has_access(&problem) {
                problems.push(problem);
            }
        }
        let findings = last.findings.into_iter().filter(|finding| finding.severity != Severity::Note).collect();
        let check = ["gray-gateway --check-config".to_owned(), format!("--config-dir {}", plan::quoted(directory))];
        let check = check.into_iter().chain(plan.flags(directory)).collect::<Vec<_>>().join(" ");
        let commands = vec![check, plan.start(documents.as_ref(), directory)];
        let written = Vec::new();
        Self { report: Report { plan, needs, problems, findings, java, notes, commands, written }, choices }
    }
}

fn verdict(plan: &Plan, sources: &[(&str, &str)], prefix: &str) -> Verdict {
    let own = plan.documents.iter().rfind(|one| one.file != RULES).map(|one| &*one.input.place);
    gray_routes::judge(&Question {
        sources,
        reading: &plan.reading,
        prefix,
        environment: &plan::environment,
        now: now(),
        routes_in: own,
    })
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
