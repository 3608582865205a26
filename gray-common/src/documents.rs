//! Flags that say which documents are read, and what follows from them.

use gray_document::{Lasting, Problems, Profiles, Reading, check_for, decode, lasting::nowhere};
use gray_live::Followed;
use gray_registry::{ConfigSource, LocalDocuments};
use gray_settings::sources::{Bootstrap, EXTENSIONS, Wanted};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::control::ControlError;

/// How many entries of a directory are looked at for a hint, how many files, and how large one may be.
const MAX_LISTED: usize = 10_000;
const MAX_HINTS: usize = 100;
const MAX_HINTED: usize = 1 << 20;

/// Which documents a program reads.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct DocumentArgs {
    /// Name of this program's own documents (spring.application.name): NAME.yaml, NAME-PROFILE.yaml and so on. Without it: what
    /// --bootstrap says, else the name under which it registers
    #[arg(long, env = "GRAY_NAME", value_name = "NAME", value_parser = document_name)]
    pub name: Option<String>,

    /// Active profile (spring.profiles.active); repeated, or separated by commas, later ones win. Parts of documents for
    /// others are skipped
    #[arg(long, env = "GRAY_PROFILE", value_name = "NAME", value_delimiter = ',')]
    pub profile: Vec<String>,

    /// The bootstrap.yml or application.yml of a Java program: names other documents, and counts less than all of them;
    /// repeated, later ones win
    #[arg(long, env = "GRAY_BOOTSTRAP", value_name = "FILE", value_delimiter = ',')]
    pub bootstrap: Vec<PathBuf>,
}

/// Name and text of a document.
type Named = (Arc<str>, Arc<str>);

/// Which documents are followed, and how they are read.
#[derive(Clone, Debug)]
pub struct DocumentPlan {
    /// Name of the program's own documents.
    pub name: String,
    /// Names of all documents, the one that counts least first.
    pub names: Vec<Arc<str>>,
    /// Profiles, and which documents may be lists.
    pub reading: Reading,
    /// The program's own documents among them: NAME.yaml and what may stand in its place.
    own: Vec<String>,
    /// Files of `--bootstrap`, by path.
    local: Vec<Named>,
}

/// What a program reads besides what flags say.
#[derive(Clone, Copy, Debug)]
pub struct ProgramDocuments<'p> {
    /// Name of its own documents, unless flags say otherwise.
    pub name: &'p str,
    /// Documents that count less than all others.
    pub first: &'p [&'p str],
    /// Documents that count more than all others.
    pub last: &'p [&'p str],
    /// Documents that may be lists: name, and the key under which it then stands.
    pub lists: &'p [(&'p str, &'p str)],
}

/// The name of a document, or what the names of some begin with, as Nacos takes it.
///
/// # Errors
/// What is expected.
pub fn document_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '_' | '-');
    match text.trim() {
        name if !name.is_empty() && name.len() <= 200 && name.chars().all(fits) && !name.starts_with('.') => {
            Ok(name.to_owned())
        }
        _ => Err("expected 1 to 200 letters, digits and . : _ -, no dot first, such as shop-gateway".to_owned()),
    }
}

impl DocumentArgs {
    /// Works out which documents a program of this group reads; files of `--bootstrap` are read now.
    ///
    /// # Errors
    /// A name of a profile or a file that cannot be used, or more documents than a program follows.
    pub fn plan(&self, program: &ProgramDocuments<'_>, group: &str) -> Result<DocumentPlan, ControlError> {
        let local = self.local()?;
        let bootstrap = self.bootstrap(&local, Profiles::new(self.profile.iter().map(String::as_str)))?;
        let bootstrap = if self.profile.is_empty() && !bootstrap.profiles.is_empty() {
            // Parts of the files may be for the profiles that the files make active.
            self.bootstrap(&local, profiles(&bootstrap.profiles))?
        } else {
            bootstrap
        };
        let active = if self.profile.is_empty() { &bootstrap.profiles } else { &self.profile };
        let profiles = profiles(active).map_err(|reason| self.invalid_profile(reason))?;
        let name = self.name.as_ref().or(bootstrap.name.as_ref()).map_or(program.name, String::as_str);
        let name = document_name(name).map_err(|reason| invalid("--name", name, reason))?;
        let wanted =
            Wanted { name: &name, profiles: &profiles, first: program.first, last: program.last, group: group.trim() };
        let documents = wanted.documents(&bootstrap).map_err(|reason| self.invalid_profile(reason))?;
        let documents = documents.iter().map(|document| Arc::from(document.to_string()));
        let lists = program.lists.iter().map(|(name, key)| ((*name).to_owned(), (*key).to_owned())).collect();
        let own = wanted.own().collect();
        Ok(DocumentPlan {
            own,
            names: local.iter().map(|(name, _)| Arc::clone(name)).chain(documents).collect(),
            reading: Reading { profiles, lists, ..Reading::default() },
            name,
            local,
        })
    }

    fn local(&self) -> Result<Vec<Named>, ControlError> {
        let read = |path: &PathBuf| {
            let name = path.display().to_string();
            let bytes = std::fs::read(path).map_err(|error| invalid("--bootstrap", &name, error.to_string()))?;
            let text = decode(bytes).map_err(|reason| invalid("--bootstrap", &name, reason))?;
            Ok((name.into(), text.into()))
        };
        self.bootstrap.iter().map(read).collect()
    }

    fn bootstrap(&self, local: &[Named], profiles: Result<Profiles, String>) -> Result<Bootstrap, ControlError> {
        let reading = Reading::from(profiles.map_err(|reason| self.invalid_profile(reason))?);
        let sources: Vec<_> = local.iter().map(|(name, text)| (&**name, &**text)).collect();
        let (bootstrap, problems) = check_for(&sources, &reading, Bootstrap::read).map_err(|problems| {
            let files: Vec<_> = sources.iter().map(|(name, _)| *name).collect();
            invalid("--bootstrap", &files.join(","), format!("it would be refused:\n{problems}"))
        })?;
        warn_of_imports(&problems);
        Ok(bootstrap)
    }

    fn invalid_profile(&self, reason: String) -> ControlError {
        invalid("--profile", &self.profile.join(","), reason)
    }
}

fn profiles(names: &[String]) -> Result<Profiles, String> {
    Profiles::new(names.iter().map(String::as_str))
}

/// What else is wrong with the files is told when all documents are read.
fn warn_of_imports(problems: &Problems) {
    problems
        .warnings()
        .filter(|problem| problem.path.contains("import"))
        .for_each(|warning| tracing::warn!("{warning}"));
}

fn invalid(flag: &'static str, value: &str, reason: String) -> ControlError {
    ControlError::Invalid { flag, value: value.to_owned(), reason }
}

impl DocumentPlan {
    /// The source with the files of `--bootstrap` beside it.
    pub fn source(&self, source: Arc<dyn ConfigSource>) -> Arc<dyn ConfigSource> {
        if self.local.is_empty() { source } else { LocalDocuments::new(source, self.local.iter().cloned()) }
    }

    /// The usual one of the program's own documents.
    pub fn usual(&self) -> String {
        format!("{}.yaml", self.name)
    }

    /// Whether this is one of the program's own documents.
    pub fn is_own(&self, name: &str) -> bool {
        let data_id = name.split_once('@').map_or(name, |(data_id, _)| data_id);
        self.own.iter().any(|own| own == data_id)
    }

    /// What a directory has that would be read under other flags; `None` where one of the program's own documents is there.
    pub fn hint(&self, directory: &Path, lasting: &[Lasting]) -> Option<String> {
        let files = documents_in(directory);
        if files.iter().any(|(name, _)| self.is_own(name)) {
            return None;
        }
        let others = files.iter().filter(|(name, _)| !self.names.iter().any(|known| **known == **name));
        let hints = others.filter_map(|(name, path)| self.hint_of(name, path, lasting));
        hints.min().map(|(_, hint)| hint)
    }

    /// How much a file says, 0 the most, and what.
    fn hint_of(&self, name: &str, path: &Path, lasting: &[Lasting]) -> Option<(u8, String)> {
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        if let Some(profile) = stem.strip_prefix(&*self.name).and_then(|rest| rest.strip_prefix('-')) {
            return Some((
                0,
                format!("{name} is there: is the profile `{profile}` active? Then start with --profile {profile}"),
            ));
        }
        if matches!(stem, "bootstrap" | "application") {
            return Some((2, format!("{name} is there: give it as --bootstrap {}", path.display())));
        }
        let text = decode(std::fs::read(path).ok().filter(|bytes| bytes.len() <= MAX_HINTED)?).ok()?;
        let missing = nowhere(&[(name, text.as_str())], &self.reading, lasting).next();
        let says = missing.is_none() && !lasting.is_empty();
        says.then(|| {
            (1, format!("{name} has what is missing: is that this program's name? Then start with --name {stem}"))
        })
    }

    /// Whether a document is a file of `--bootstrap`.
    pub fn is_local(&self, name: &str) -> bool {
        self.local.iter().any(|(local, _)| **local == *name)
    }

    /// What is to be followed, with the parts that do not vanish by accident.
    pub fn followed(&self, lasting: Vec<Lasting>) -> Followed {
        Followed { names: self.names.clone(), reading: self.reading.clone(), lasting }
    }
}

/// The documents of a directory, by name, and where they are: not more than a few.
fn documents_in(directory: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().take(MAX_LISTED);
    let files = entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())));
    let is_document = |name: &str| {
        let extension = name.rsplit_once('.').map(|(_, extension)| extension);
        !name.starts_with('.') && extension.is_none_or(|extension| EXTENSIONS.contains(&extension))
    };
    let mut files: Vec<_> = files.filter(|(name, path)| is_document(name) && path.is_file()).collect();
    files.sort();
    files.truncate(MAX_HINTS);
    files
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct Cli {
        #[command(flatten)]
        documents: DocumentArgs,
    }

    const PROGRAM: ProgramDocuments<'_> =
        ProgramDocuments { name: "app", first: &["common.yaml"], last: &[], lists: &[] };

    fn plan(args: &[&str]) -> Result<DocumentPlan, String> {
        let args = std::iter::once("program").chain(args.iter().copied());
        let args = Cli::try_parse_from(args).map_err(|error| error.to_string())?.documents;
        args.plan(&PROGRAM, "DEFAULT_GROUP").map_err(|error| error.to_string())
    }

    fn names(args: &[&str]) -> Vec<String> {
        plan(args).expect("good").names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_documents_of_a_program() {
        assert_eq!(names(&[]), ["common.yaml", "app", "app.json", "app.yml", "app.yaml", "app.properties"]);
        let two = names(&["--name", "shop", "--profile", "dev", "--profile", "eu"]);
        assert_eq!(two[1..3], ["shop", "shop.json"]);
        assert_eq!(
            two[6..],
            ["dev", "eu"]
                .map(|profile| ["json", "yml", "yaml", "properties"]
                    .map(|extension| format!("shop-{profile}.{extension}")))
                .concat()
        );
        for (args, expect) in [
            (["--profile", "a b"], "is not the name of a profile"),
            (["--name", "../x"], "expected 1 to 200 letters"),
            (["--name", ""], "expected 1 to 200 letters"),
            (["--bootstrap", "/nowhere/bootstrap.yml"], "--bootstrap /nowhere/bootstrap.yml"),
        ] {
            let error = plan(&args).expect_err(args[1]);
            assert!(error.contains(expect), "{args:?}: {error}");
        }
    }

    #[test]
    fn a_bootstrap_file_names_documents_and_profiles_and_counts_least() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("bootstrap.yml");
        let path = file.to_str().expect("UTF-8");
        let text = "\
spring: { application.name: shop-gateway, profiles.active: test }
---
spring:
  config.activate.on-profile: test
  cloud.nacos.config.shared-configs: [{ data-id: shared.yaml, group: G }]
---
spring:
  config.activate.on-profile: prod
  cloud.nacos.config.shared-configs: [other.yaml]
";
        std::fs::write(&file, text).expect("written");
        let found = names(&["--bootstrap", path]);
        assert_eq!(found[..4], [path, "common.yaml", "shared.yaml@G", "shop-gateway"]);
        assert!(found.contains(&"shop-gateway-test.yaml".to_owned()), "{found:?}");
        let found = names(&["--bootstrap", path, "--name", "x", "--profile", "prod"]);
        assert_eq!(found[..4], [path, "common.yaml", "other.yaml", "x"]);
        let plan = plan(&["--bootstrap", path]).expect("good");
        assert!(plan.is_local(path) && !plan.is_local("common.yaml"));
        std::fs::write(&file, "a: [").expect("written");
        let error = super::tests::plan(&["--bootstrap", path]).expect_err("no YAML");
        assert!(error.contains("would be refused") && error.contains("bootstrap.yml:"), "{error}");
    }
}
