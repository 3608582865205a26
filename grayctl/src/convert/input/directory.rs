//! Directories: a project with sources, a directory of documents, or an unpacked export of Nacos (GROUP/DATAID).

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, Result};
use gray_common::service::UsageError;

use super::{Inputs, Kind, is_local, kind_of_file};

const MAX_DEPTH: usize = 32;
/// Directories in which nothing of an application is.
const SKIPPED: [&str; 6] = ["target", "build", "node_modules", "test", "out", "bin"];

/// A file of interest.
struct File {
    path: PathBuf,
    name: String,
    kind: Kind,
    group: Option<String>,
}

pub(super) fn read(root: &Path, inputs: &mut Inputs) -> Result<()> {
    let mut files = Vec::new();
    let is_project = ["pom.xml", "build.gradle", "build.gradle.kts", "src"].iter().any(|name| root.join(name).exists());
    walk(root, 0, is_project, inputs, &mut files)?;
    let only = if is_project { module(root, &files)? } else { None };
    for file in files {
        if let Some(only) = &only
            && !file.path.starts_with(only)
            && file.path.parent() != Some(root)
        {
            continue;
        }
        let place = file.path.display().to_string();
        let content = fs::File::open(&file.path).with_context(|| format!("cannot read {place}"))?;
        inputs.add(file.kind, &place, &file.name, file.group.as_deref(), content)?;
    }
    if let Some(only) = only {
        inputs.note(format!(
            "of the modules, {} is taken: it has the routes; the others are not looked at",
            only.display()
        ));
    }
    Ok(())
}

fn walk(directory: &Path, depth: usize, is_project: bool, inputs: &mut Inputs, files: &mut Vec<File>) -> Result<()> {
    let shown = directory.display();
    let entries = fs::read_dir(directory).map_err(|error| UsageError(format!("cannot read {shown}: {error}")))?;
    let mut entries = entries.collect::<Result<Vec<_>, _>>().with_context(|| format!("cannot list {shown}"))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        inputs.count()?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        // A link may lead anywhere.
        let kind = entry.file_type().with_context(|| format!("cannot list {shown}"))?;
        let path = entry.path();
        if kind.is_dir() {
            if depth < MAX_DEPTH && !name.starts_with('.') && !SKIPPED.contains(&&*name) {
                walk(&path, depth + 1, is_project, inputs, files)?;
            }
        } else if kind.is_file()
            && let Some(kind) = kind_of_file(&name).filter(|kind| is_wanted(*kind, &name, depth, &path, is_project))
        {
            let group = (!is_project && depth == 1 && kind == Kind::Nacos).then(|| name_of(path.parent())).flatten();
            files.push(File { path, name, kind, group });
        }
    }
    Ok(())
}

fn name_of(path: Option<&Path>) -> Option<String> {
    path?.file_name()?.to_str().map(str::to_owned)
}

/// Whether a file in this place is part of the application, or of an export.
fn is_wanted(kind: Kind, name: &str, depth: usize, path: &Path, is_project: bool) -> bool {
    match kind {
        Kind::Source | Kind::Class | Kind::Build => true,
        Kind::Local | Kind::Nacos => {
            let resources = name_of(path.parent()).is_some_and(|parent| {
                parent == "resources"
                    || (parent == "config"
                        && name_of(path.parent().and_then(Path::parent)).is_some_and(|up| up == "resources"))
            });
            match (is_project, depth) {
                // Other documents beside sources are of other programs: docker-compose.yml.
                (true, 0) => is_local(name),
                (true, _) => resources && is_local(name),
                (false, 0 | 1) => true,
                (false, _) => false,
            }
        }
    }
}

/// The directory of the one module that is the gateway, where there are several.
fn module(root: &Path, files: &[File]) -> Result<Option<PathBuf>> {
    let mut modules: BTreeMap<PathBuf, bool> = BTreeMap::new();
    for file in files.iter().filter(|file| file.kind == Kind::Local) {
        let parts: Vec<_> = file.path.components().collect();
        let src = parts.iter().rposition(|part| *part == Component::Normal("src".as_ref()));
        let home: PathBuf = src.map_or_else(|| root.to_owned(), |src| parts[..src].iter().collect());
        let is_gateway = modules.entry(home.clone()).or_insert(false);
        *is_gateway = *is_gateway
            || names_gateway(&file.path)
            || names_gateway(&home.join("pom.xml"))
            || names_gateway(&home.join("build.gradle"));
    }
    if modules.len() < 2 {
        return Ok(None);
    }
    let gateways: Vec<_> =
        modules.iter().filter(|(_, is_gateway)| **is_gateway).map(|(home, _)| home.clone()).collect();
    match &gateways[..] {
        [only] => Ok(Some(only.clone())),
        _ => {
            let homes: Vec<_> = if gateways.is_empty() { modules.into_keys().collect() } else { gateways };
            let shown: Vec<_> = homes.iter().take(10).map(|home| home.display().to_string()).collect();
            Err(UsageError(format!(
                "there are several applications in {}; give the directory of the gateway: {}",
                root.display(),
                shown.join(", ")
            ))
            .into())
        }
    }
}

/// Whether a file is of a gateway: it has its settings, or depends on it.
fn names_gateway(path: &Path) -> bool {
    let is_small = fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= super::MAX_FILE);
    let text = if is_small { fs::read_to_string(path).unwrap_or_default() } else { String::new() };
    let name = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match name {
        "xml" | "gradle" => text.contains("spring-cloud-starter-gateway") || text.contains("spring-cloud-gateway"),
        _ => text.contains("spring.cloud.gateway") || text.lines().any(|line| line.trim() == "gateway:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        }
    }

    fn names(files: &[(&str, &str)]) -> Result<(Vec<String>, Vec<String>)> {
        let root = tempfile::tempdir().expect("a folder");
        write(root.path(), files);
        let inputs = Inputs::read(&[root.path()])?;
        let documents = inputs.documents.iter().map(|one| {
            let group = one.group.as_deref().map_or_else(String::new, |group| format!("@{group}"));
            format!("{}{group}{}", one.name, if one.is_local { "!" } else { "" })
        });
        Ok((documents.collect(), inputs.classes.iter().map(|class| class.name.clone()).collect()))
    }

    #[test]
    fn a_project_a_directory_and_an_export() {
        let (documents, classes) = names(&[
            ("pom.xml", "<x/>"),
            ("docker-compose.yml", "a: 1"),
            ("src/main/resources/application.yml", "a: 1"),
            ("src/main/resources/application-dev.properties", "a=1"),
            ("src/main/resources/i18n/other.yml", "a: 1"),
            ("src/main/java/com/x/A.java", "package com.x; class A {}"),
            ("src/test/java/com/x/B.java", "package com.x; class B {}"),
            ("src/test/resources/application.yml", "a: 1"),
            ("target/classes/application.yml", "a: 1"),
        ])
        .expect("readable");
        assert_eq!(documents, ["application-dev.properties!", "application.yml!"]);
        assert_eq!(classes, ["com.x.A"]);
        let (documents, _) = names(&[
            ("shop-gateway.yaml", "a: 1"),
            ("bootstrap.yml", "a: 1"),
            ("COMMON/redis.yaml", "a: 1"),
            ("a/b/deep.yaml", "a: 1"),
            (".metadata.yml", "a: 1"),
        ])
        .expect("readable");
        assert_eq!(documents, ["redis.yaml@COMMON", "bootstrap.yml!", "shop-gateway.yaml"]);
    }

    #[test]
    fn of_several_modules_the_gateway_is_taken_or_asked_for() {
        let gateway = ("gw/src/main/resources/application.yml", "spring.cloud.gateway.routes: []");
        let users = ("users/src/main/resources/application.yml", "a: 1");
        let (documents, classes) = names(&[
            ("pom.xml", ""),
            gateway,
            users,
            ("users/src/main/java/U.java", "class U {}"),
            ("gw/src/main/java/G.java", "class G {}"),
        ])
        .expect("one gateway");
        assert_eq!((documents.len(), &classes[..]), (1, &["G".to_owned()][..]));
        let error = names(&[("pom.xml", ""), users, ("b/src/main/resources/application.yml", "a: 1")]);
        assert!(error.expect_err("none").to_string().contains("give the directory of the gateway"));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        let root = tempfile::tempdir().expect("a folder");
        write(root.path(), &[("a.yaml", "a: 1")]);
        std::os::unix::fs::symlink("/etc/hostname", root.path().join("b.yaml")).expect("linked");
        std::os::unix::fs::symlink(root.path(), root.path().join("loop")).expect("linked");
        assert_eq!(Inputs::read(&[root.path()]).expect("readable").documents.len(), 1);
    }
}
