//! What `grayctl convert` is given: files, directories and archives, as documents, classes and names of libraries.
//!
//! All of it is input from outside: how many files are looked at, how large one is and how much is read is bounded, links are
//! not followed, and no name of an entry is ever used as a path.

mod archive;
mod directory;

use std::{fs, io::Read, path::Path};

use anyhow::{Result, anyhow};
use gray_common::service::UsageError;
use gray_document::{Outline, Reading, decode};
use gray_settings::sources::EXTENSIONS;

use super::java::{Class, parse_class, parse_source};

/// Most bytes of one document, source or class.
const MAX_FILE: u64 = 2 << 20;
/// Most bytes of all of them.
const MAX_TOTAL: u64 = 256 << 20;
/// Most files that are looked at, entries of archives among them.
const MAX_FILES: usize = 100_000;
const MAX_DOCUMENTS: usize = 500;
/// Most notes about what is passed over.
const MAX_NOTES: usize = 20;

/// A document as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Input {
    /// Where it is, for people.
    pub(super) place: String,
    /// Its file's name: the data id.
    pub(super) name: String,
    /// Its group in Nacos, where that is known.
    pub(super) group: Option<String>,
    /// It is part of the program, and not of Nacos.
    pub(super) is_local: bool,
    pub(super) text: String,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    pub(super) documents: Vec<Input>,
    pub(super) classes: Vec<Class>,
    /// File names of libraries.
    pub(super) libraries: Vec<String>,
    /// Build files, with their text.
    pub(super) builds: Vec<(String, String)>,
    /// What was passed over, and why.
    pub(super) notes: Vec<String>,
    pub(super) files: usize,
    pub(super) bytes: u64,
}

/// What a file is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Local,
    Nacos,
    Source,
    Class,
    Build,
}

impl Inputs {
    /// Reads everything that the paths name.
    ///
    /// # Errors
    /// A path that cannot be read, or with nothing in it that could be converted.
    pub(super) fn read(paths: &[impl AsRef<Path>]) -> Result<Self> {
        let mut inputs = Self::default();
        for path in paths.iter().map(AsRef::as_ref) {
            let before = (inputs.documents.len(), inputs.classes.len());
            let shown = path.display();
            let metadata = fs::metadata(path).map_err(|error| UsageError(format!("cannot read {shown}: {error}")))?;
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if metadata.is_dir() {
                directory::read(path, &mut inputs)?;
            } else if matches!(extension(name), "jar" | "war" | "zip") {
                archive::read(path, &mut inputs)?;
            } else {
                let kind = kind_of_file(name).ok_or_else(|| {
                    UsageError(format!(
                        "{shown} is not a file that can be converted: expected a document ({}), a source (java, kt), or a jar or \
                         zip",
                        EXTENSIONS.join(", ")
                    ))
                })?;
                let file = fs::File::open(path).map_err(|error| UsageError(format!("cannot read {shown}: {error}")))?;
                inputs.add(kind, &shown.to_string(), name, None, file)?;
            }
            if (inputs.documents.len(), inputs.classes.len()) == before {
                return Err(UsageError(format!(
                    "there is nothing to convert in {shown}: expected application.yml, bootstrap.yml, documents exported from \
                     Nacos, sources, or a jar"
                ))
                .into());
            }
        }
        Ok(inputs)
    }

    /// Counts a file that is looked at.
    fn count(&mut self) -> Result<()> {
        self.files += 1;
        if self.files > MAX_FILES {
            return Err(anyhow!("there are more than {MAX_FILES} files; give the directory of the gateway alone"));
        }
        Ok(())
    }

    /// Says that something is passed over.
    fn note(&mut self, note: String) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(note);
        }
    }

    /// Reads one file or entry. One that is too large or is not text is passed over with a note.
    fn add(&mut self, kind: Kind, place: &str, name: &str, group: Option<&str>, content: impl Read) -> Result<()> {
        let mut bytes = Vec::new();
        if let Err(error) = content.take(MAX_FILE + 1).read_to_end(&mut bytes) {
            self.note(format!("{place} is not read: {error}"));
            return Ok(());
        }
        let length = bytes.len() as u64;
        self.bytes += length;
        if self.bytes > MAX_TOTAL {
            return Err(anyhow!("there is more than {} MiB to read; give the gateway alone", MAX_TOTAL >> 20));
        }
        if length > MAX_FILE {
            self.note(format!("{place} is not read: it has more than {} MiB", MAX_FILE >> 20));
            return Ok(());
        }
        if kind == Kind::Class {
            self.classes.extend(parse_class(&bytes, place));
            return Ok(());
        }
        let text = match decode(bytes) {
            Ok(text) => text,
            // What is wrong with a document has to be known; a source in another encoding is a source less.
            Err(reason) if matches!(kind, Kind::Local | Kind::Nacos) => {
                return Err(anyhow!("cannot read {place}: {reason}"));
            }
            Err(reason) => {
                self.note(format!("{place} is not read: {reason}"));
                return Ok(());
            }
        };
        match kind {
            Kind::Source => self.classes.extend(parse_source(&text, place)),
            Kind::Build => self.builds.push((place.to_owned(), text)),
            Kind::Local | Kind::Nacos | Kind::Class => {
                if self.documents.len() >= MAX_DOCUMENTS {
                    return Err(anyhow!(
                        "there are more than {MAX_DOCUMENTS} documents; give those of the gateway alone"
                    ));
                }
                self.documents.push(Input {
                    place: place.to_owned(),
                    name: name.to_owned(),
                    group: group.map(str::to_owned),
                    is_local: kind == Kind::Local,
                    text,
                });
            }
        }
        Ok(())
    }
}

impl Input {
    /// Whether it has routes, or makes them of services.
    pub(super) fn has_routes(&self) -> bool {
        let outline = Outline::of(&self.name, &self.text, &Reading::default());
        outline.is_some_and(|outline| {
            let locator = ["", ".server.webflux"]
                .iter()
                .any(|part| outline.has(&format!("spring.cloud.gateway{part}.discovery.locator.enabled")));
            locator || gray_routes::ROUTES.iter().any(|key| outline.states(key))
        })
    }
}

fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// Whether a document has the name of one that is part of a program.
fn is_local(name: &str) -> bool {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    ["application", "bootstrap"].iter().any(|own| {
        stem.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('-')) && extension(name) != "json"
    })
}

fn is_document(name: &str) -> bool {
    !name.starts_with('.') && EXTENSIONS.contains(&extension(name))
}

fn kind_of_file(name: &str) -> Option<Kind> {
    match extension(name) {
        _ if is_local(name) && is_document(name) => Some(Kind::Local),
        _ if is_document(name) => Some(Kind::Nacos),
        "java" | "kt" => Some(Kind::Source),
        "class" => Some(Kind::Class),
        _ if ["pom.xml", "build.gradle", "build.gradle.kts"].contains(&name) => Some(Kind::Build),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_names() {
        for (name, kind) in [
            ("application.yml", Some(Kind::Local)),
            ("application-prod.properties", Some(Kind::Local)),
            ("bootstrap.yaml", Some(Kind::Local)),
            ("applications.yml", Some(Kind::Nacos)),
            ("shop-gateway-dev.yml", Some(Kind::Nacos)),
            ("routes.json", Some(Kind::Nacos)),
            (".metadata.yml", None),
            ("A.java", Some(Kind::Source)),
            ("pom.xml", Some(Kind::Build)),
            ("README.md", None),
        ] {
            assert_eq!(kind_of_file(name), kind, "{name}");
        }
    }

    #[test]
    fn what_is_not_there_or_holds_nothing_is_wrong_usage() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = folder.path().join("notes.txt");
        fs::write(&text, "x").expect("written");
        for path in [folder.path().join("absent"), folder.path().to_owned(), text] {
            let error = Inputs::read(&[&path]).expect_err("nothing");
            assert!(error.is::<UsageError>(), "{error}");
        }
    }

    #[test]
    fn a_large_file_is_passed_over_with_a_note() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("a.yaml"), "x: 1").expect("written");
        fs::write(folder.path().join("b.yaml"), vec![b'#'; 3 << 20]).expect("written");
        let inputs = Inputs::read(&[folder.path()]).expect("readable");
        assert_eq!(inputs.documents.len(), 1);
        assert!(inputs.notes[0].contains("b.yaml is not read: it has more than 2 MiB"), "{:?}", inputs.notes);
    }
}
