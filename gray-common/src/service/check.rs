//! `--check-config`: every problem of the settings at once, without serving.

use std::time::Duration;

use gray_document::{Documents, Lasting, Origin, Problem, Problems, Severity, check, lasting};
use gray_registry::{DocumentText, Health};
use tokio::time;

use crate::control::{ControlArgs, ControlError};

/// How long the source may take to answer for one document.
const LIMIT: Duration = Duration::from_secs(10);

/// The settings are not in order.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The flags say too little.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The source does not answer.
    #[error("no answer for {document} within {LIMIT:?}: {reason}")]
    NoAnswer {
        /// The document.
        document: String,
        /// What the source is waiting for.
        reason: String,
    },
    /// The document that everything depends on is not there.
    #[error("there is no {document} in {place}; is this the right place?")]
    Absent {
        /// The document.
        document: String,
        /// Where it was looked for.
        place: String,
    },
    /// The documents have errors; warnings are among them.
    #[error("the settings would be refused:\n{0}")]
    Refused(Problems),
}

/// Reads the documents once and judges them as a process would that has served by others before: later ones win,
/// `required` must be there, none may be blank, and `lasting` lists must be somewhere. The report names what was read,
/// and the warnings.
pub async fn check_config<T>(
    control: &ControlArgs,
    program: &str,
    names: &[&str],
    required: &str,
    lasting: &[Lasting],
    read: impl Fn(&Documents) -> T,
) -> Result<String, CheckError> {
    let source = control.connect_config(program)?;
    let (mut texts, mut problems) = (Vec::new(), Problems::default());
    for &name in names {
        let mut document = source.watch(name);
        let answer = time::timeout(LIMIT, document.wait_for(|text| *text != DocumentText::Unknown)).await;
        match answer.ok().and_then(Result::ok).as_deref() {
            Some(DocumentText::Present(text)) => texts.push((name, text.clone())),
            Some(DocumentText::Unreadable(reason)) => {
                problems.push(problem(name, String::new(), format!("the document cannot be read: {reason}")));
            }
            Some(_) if name == required => {
                return Err(CheckError::Absent { document: name.into(), place: place(control) });
            }
            Some(_) => {}
            None => {
                let reason = match &*source.health().borrow() {
                    Health::Down(reason) => reason.clone(),
                    Health::Up => "the source is up but silent".to_owned(),
                };
                return Err(CheckError::NoAnswer { document: name.into(), reason });
            }
        }
    }
    let documents: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (*name, &**text)).collect();
    problems.extend(said_nothing(&documents, required, lasting));
    let warnings = match check(&documents, read) {
        Ok((_, warnings)) if !problems.has_errors() => warnings,
        Ok((_, others)) | Err(others) => {
            problems.extend(others);
            return Err(CheckError::Refused(problems));
        }
    };
    let names: Vec<_> = documents.iter().map(|(name, _)| *name).collect();
    let read = format!("{} from {}", names.join(", "), place(control));
    Ok(match warnings.warnings().count() {
        0 => format!("the settings are in order ({read})"),
        1 => format!("no errors, 1 warning ({read}):\n{warnings}"),
        count => format!("no errors, {count} warnings ({read}):\n{warnings}"),
    })
}

/// What a process that has served by other documents before would refuse.
fn said_nothing(documents: &[(&str, &str)], required: &str, lasting: &[Lasting]) -> Vec<Problem> {
    let blank = documents.iter().filter(|(_, text)| lasting::is_blank(text)).map(|(name, _)| {
        let message = "the document is empty; if it is to say nothing, write `{}`, or delete it";
        problem(name, String::new(), message.to_owned())
    });
    let missing = lasting::nowhere(documents, lasting).map(|key| {
        let message =
            format!("no document has it; is another key misspelt? If there is to be nothing, write `{key}: []`");
        problem(required, key.to_owned(), message)
    });
    blank.chain(missing).collect()
}

fn problem(document: &str, path: String, message: String) -> Problem {
    Problem { severity: Severity::Error, origin: Origin { document: document.into(), line: 0 }, path, message }
}

fn place(control: &ControlArgs) -> String {
    match (&control.config_dir, &control.nacos) {
        (Some(directory), _) => directory.display().to_string(),
        (None, server) => format!(
            "Nacos {}, namespace {:?}, group {}",
            server.as_deref().unwrap_or("(none)"),
            control.namespace,
            control.group
        ),
    }
}
