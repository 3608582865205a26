//! What Spring said, by release: `answers/4.3.json` whole, the others where they differ from it. One line for each case.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf};

use anyhow::{Context as _, Result};

use crate::{document::Case, observe::Outcome, release::Release};

/// The release that is recorded whole.
const BASE: Release = Release::V43;

/// Outcomes by document and case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers(BTreeMap<String, BTreeMap<String, Outcome>>);

/// The name of a case within its document.
fn key(case: Case<'_>) -> String {
    match case.route {
        Some(route) => format!("{route}: {}", case.request),
        None => case.request.to_string(),
    }
}

fn path(release: Release) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("answers").join(format!("{release}.json"))
}

impl Answers {
    /// Reads what is recorded.
    ///
    /// # Errors
    /// No such file, or it is damaged.
    pub fn read(release: Release) -> Result<Self> {
        let path = path(release);
        let text = fs::read_to_string(&path).with_context(|| format!("{} is missing: make compat", path.display()))?;
        let mut answers = if release == BASE { Self::default() } else { Self::read(BASE)? };
        let own: BTreeMap<String, BTreeMap<String, Outcome>> = serde_json::from_str(&text)?;
        for (document, cases) in own {
            answers.0.entry(document).or_default().extend(cases);
        }
        Ok(answers)
    }

    /// Writes them. What the others differ from is the base, so they are written anew with it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, release: Release) -> Result<()> {
        if release != BASE {
            return self.write_alone(release);
        }
        let others = Release::ALL.into_iter().filter(|other| *other != BASE);
        let others: Vec<_> = others.filter_map(|other| Some((other, Self::read(other).ok()?))).collect();
        self.write_alone(BASE)?;
        others.into_iter().try_for_each(|(other, answers)| answers.write_alone(other))
    }

    fn write_alone(&self, release: Release) -> Result<()> {
        let base = if release == BASE { Self::default() } else { Self::read(BASE)? };
        let mut out = "{\n".to_owned();
        let mut documents = 0;
        for (document, cases) in &self.0 {
            let known = base.0.get(document);
            let differs =
                |(key, outcome): &(&String, &Outcome)| known.and_then(|known| known.get(*key)) != Some(*outcome);
            let lines: Vec<_> = cases.iter().filter(differs).map(|(key, outcome)| line(key, outcome)).collect();
            let lines = lines.into_iter().collect::<serde_json::Result<Vec<_>>>()?;
            if !lines.is_empty() {
                let before = if documents > 0 { ",\n" } else { "" };
                documents += 1;
                write!(out, "{before}{}: {{\n{}\n}}", serde_json::to_string(document)?, lines.join(",\n"))?;
            }
        }
        out.push_str("\n}\n");
        let path = path(release);
        fs::create_dir_all(path.parent().context("a directory")?)?;
        Ok(fs::write(path, out)?)
    }

    /// Notes one.
    pub fn insert(&mut self, case: Case<'_>, outcome: Outcome) {
        self.0.entry(case.document.name.clone()).or_default().insert(key(case), outcome);
    }

    /// The recorded one.
    pub fn get(&self, case: Case<'_>) -> Option<&Outcome> {
        self.0.get(&case.document.name)?.get(&key(case))
    }
}

fn line(key: &str, outcome: &Outcome) -> serde_json::Result<String> {
    Ok(format!("{}: {}", serde_json::to_string(key)?, serde_json::to_string(outcome)?))
}
