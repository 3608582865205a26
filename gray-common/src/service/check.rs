//! `--check-config`: every problem of the settings at once, without serving.

use std::{sync::Arc, time::Duration};

use gray_document::{
    Documents, Lasting, Origin, Problem, Problems, Severity, check_for,
    lasting::{is_blank, nowhere},
};
use gray_registry::{ConfigSource, DocumentText, Health};
use gray_settings::sources::imported;
use tokio::time;

use crate::{
    control::{ControlArgs, ControlError},
    documents::DocumentPlan,
};

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
    #[error("there is no {document} in {place}; {hint}")]
    Absent {
        /// The document.
        document: String,
        /// Where it was looked for.
        place: String,
        /// What may be meant instead.
        hint: String,
    },
    /// The documents have errors; warnings are among them.
    #[error("the settings would be refused:\n{0}")]
    Refused(Problems),
}

/// What a source has of the documents of a plan.
#[derive(Debug)]
#[non_exhaustive]
pub struct Gathered {
    /// Name and text of each, the one that counts least first.
    pub documents: Vec<(Arc<str>, Arc<str>)>,
    /// Documents that cannot be read, or say nothing.
    pub problems: Problems,
    /// The program's own document that counts most, or the one that would be there.
    pub own: String,
    /// Where they are.
    pub place: String,
}

impl Gathered {
    /// Name and text of each.
    pub fn sources(&self) -> Vec<(&str, &str)> {
        self.documents.iter().map(|(name, text)| (&**name, &**text)).collect()
    }

    /// What was read, and from where.
    pub fn summary(&self) -> String {
        let names: Vec<_> = self.documents.iter().map(|(name, _)| &**name).collect();
        format!("{} from {}", names.join(", "), self.place)
    }
}

/// Reads the documents of a plan once.
///
/// `required` must be there; `None`: one of the program's own, unless what is `needed` is somewhere else.
///
/// # Errors
/// The source does not answer, or that document is not there.
pub async fn gather(
    control: &ControlArgs,
    program: &str,
    plan: &DocumentPlan,
    required: Option<&str>,
    needed: &[Lasting],
) -> Result<Gathered, CheckError> {
    let source = plan.source(control.connect_config(program)?);
    let (mut texts, mut problems) = (Vec::new(), Problems::default());
    let mut names = plan.names.iter().map(|name| (Arc::clone(name), true)).rev().collect::<Vec<_>>();
    while let Some((name, may_import)) = names.pop() {
        match answer(&*source, &name).await? {
            DocumentText::Present(text) => {
                let imports = imported(&name, &text, &plan.reading).filter(|_| may_import).unwrap_or_default();
                let imports = imports.iter().map(|import| Arc::from(import.to_string()));
                let news = imports.filter(|import| !plan.names.contains(import)).collect::<Vec<_>>();
                names.extend(news.into_iter().rev().map(|import| (import, false)));
                texts.push((name, text));
            }
            DocumentText::Unreadable(reason) => {
                problems.push(problem(&name, String::new(), format!("the document cannot be read: {reason}")));
            }
            DocumentText::Absent | DocumentText::Unknown => {}
        }
    }
    let documents: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (&**name, &**text)).collect();
    let usual = required.map_or_else(|| plan.usual(), str::to_owned);
    let hint = || {
        let found = control.config_dir.as_ref().and_then(|directory| plan.hint(directory, needed));
        found.unwrap_or_else(|| "is this the right place?".to_owned())
    };
    let is_required = |name: &str| required.map_or_else(|| plan.is_own(name), |required| name == required);
    let is_there = documents.iter().any(|(name, _)| is_required(name));
    let is_elsewhere = match required {
        Some(_) => documents.iter().any(|(name, _)| plan.is_local(name)),
        None => nowhere(&documents, &plan.reading, needed).next().is_none(),
    };
    if !is_there && !is_elsewhere && !problems.has_errors() {
        return Err(CheckError::Absent { document: usual, place: place(control), hint: hint() });
    }
    problems.extend(blank(&documents, plan));
    let own = documents.iter().map(|(name, _)| *name).rfind(|name| plan.is_own(name)).unwrap_or(&usual).to_owned();
    Ok(Gathered { documents: texts, problems, own, place: place(control) })
}

/// Reads the documents of a plan once and judges them as a process would that has served by others before.
///
/// `required` must be there; none may be blank. The report names what was read, and the warnings.
pub async fn check_config<T>(
    control: &ControlArgs,
    program: &str,
    plan: &DocumentPlan,
    required: &str,
    read: impl Fn(&Documents) -> T,
) -> Result<String, CheckError> {
    let mut gathered = gather(control, program, plan, Some(required), &[]).await?;
    let mut problems = std::mem::take(&mut gathered.problems);
    let warnings = match check_for(&gathered.sources(), &plan.reading, read) {
        Ok((_, warnings)) if !problems.has_errors() => warnings,
        Ok((_, others)) | Err(others) => {
            problems.extend(others);
            return Err(CheckError::Refused(problems));
        }
    };
    let read = gathered.summary();
    Ok(match warnings.warnings().count() {
        0 => format!("the settings are in order ({read})"),
        1 => format!("no errors, 1 warning ({read}):\n{warnings}"),
        count => format!("no errors, {count} warnings ({read}):\n{warnings}"),
    })
}

/// What the source says of a document, once it says anything.
async fn answer(source: &dyn ConfigSource, name: &str) -> Result<DocumentText, CheckError> {
    let mut document = source.watch(name);
    let answer = time::timeout(LIMIT, document.wait_for(|text| *text != DocumentText::Unknown)).await;
    match answer.ok().and_then(Result::ok) {
        Some(answer) => Ok(answer.clone()),
        None => {
            let reason = match &*source.health().borrow() {
                Health::Down(reason) => reason.clone(),
                Health::Up => "the source is up but silent".to_owned(),
            };
            Err(CheckError::NoAnswer { document: name.to_owned(), reason })
        }
    }
}

/// Documents that a process which has served by others before would refuse, because they say nothing.
fn blank(documents: &[(&str, &str)], plan: &DocumentPlan) -> Vec<Problem> {
    let blank = documents.iter().filter(|(name, text)| !plan.is_local(name) && is_blank(name, text, &plan.reading));
    let blank = blank.map(|(name, _)| {
        let message = "the document is empty; if it is to say nothing, write `{}`, or delete it";
        problem(name, String::new(), message.to_owned())
    });
    blank.collect()
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
