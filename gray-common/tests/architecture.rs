//! The invariants of ARCHITECTURE.md that a look at the sources can check.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace")
}

fn sources(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![below.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("readable").map(|entry| entry.expect("readable").path()) {
            if entry.is_dir() {
                // What is built, or hidden, is not ours to judge.
                if !entry.file_name().is_some_and(|name| name == "target" || name.as_encoded_bytes().starts_with(b"."))
                {
                    folders.push(entry);
                }
            } else if entry.extension().is_some_and(|ending| ending == "rs") {
                found.push(entry);
            }
        }
    }
    assert!(!found.is_empty(), "no sources below {}", below.display());
    found
}

/// Lines of code (comments left out) that mention one of `words`, as `file: line`.
fn mentions(files: &[PathBuf], words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        // Text in quotes (a log filter that names a crate) is no use of it.
        let text = fs::read_to_string(file).expect("readable");
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
            let code: String = line.split('"').step_by(2).collect();
            if words.iter().any(|word| code.contains(word)) {
                found.push(format!("{}: {line}", file.display()));
            }
        }
    }
    found
}

/// The crates below `crates/`, by name.
fn crates() -> Vec<String> {
    let entries = fs::read_dir(workspace().join("crates")).expect("readable").map(|entry| entry.expect("readable"));
    let mut names: Vec<_> = entries
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| format!("crates/{}", entry.file_name().to_string_lossy()))
        .collect();
    names.sort();
    assert!(!names.is_empty());
    names
}

/// A file without its unit tests, which stand at its end.
fn product(files: Vec<PathBuf>) -> Vec<(PathBuf, String)> {
    let is_test = |file: &PathBuf| file.components().any(|part| part.as_os_str().to_string_lossy().contains("tests"));
    let files = files.into_iter().filter(|file| !is_test(file));
    files
        .map(|file| {
            let text = fs::read_to_string(&file).expect("readable");
            let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
            (file, text[..end].to_owned())
        })
        .collect()
}

#[test]
fn no_file_is_long() {
    const LONGEST: usize = 400;
    for file in sources(workspace()) {
        let lines = fs::read_to_string(&file).expect("readable").lines().count();
        assert!(
            lines <= LONGEST,
            "{}: {lines} lines, expected {LONGEST} at most: split it by what it is about",
            file.display()
        );
    }
}

#[test]
fn the_nacos_sdk_stays_behind_the_traits() {
    let apps = ["gray-common", "gray-gateway", "order-app", "user-app", "user-client", "grayctl"].map(str::to_owned);
    for member in apps.into_iter().chain(crates()).filter(|member| member != "crates/gray-nacos") {
        let found = mentions(&sources(&workspace().join(member).join("src")), &["nacos_sdk::"]);
        assert!(found.is_empty(), "nacos_sdk outside of gray-nacos:\n{}", found.join("\n"));
    }
    // What is `pub` without more is seen from outside: the lint `unreachable_pub` sees to that.
    for (file, text) in product(sources(&workspace().join("crates/gray-nacos/src"))) {
        let imports = text.split("use nacos_sdk::").skip(1).filter_map(|rest| rest.split(';').next());
        let words = |text: &str| -> Vec<String> {
            text.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned).collect()
        };
        let types: Vec<_> = imports.flat_map(words).filter(|word| word.starts_with(char::is_uppercase)).collect();
        for line in text.lines().map(str::trim).filter(|line| line.starts_with("pub ")) {
            let found = words(line).into_iter().find(|word| types.contains(word) || word == "nacos_sdk");
            assert_eq!(found, None, "{}: the SDK in a public signature: {line}", file.display());
        }
    }
}

/// Pure: no runtime, no network, no clock, no random source.
#[test]
fn the_pure_crates_touch_nothing_of_the_world() {
    for name in ["gray-core", "gray-document", "gray-expression", "gray-rules", "gray-settings"] {
        for (file, text) in product(sources(&workspace().join("crates").join(name).join("src"))) {
            for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
                let code: String = line.split('"').step_by(2).collect();
                let world =
                    ["tokio", "hyper", "reqwest", "fastrand", "SystemTime", "Instant", "std::fs", "fs::", "TcpStream"];
                assert!(!world.iter().any(|word| code.contains(word)), "{}: {line}", file.display());
            }
        }
    }
}

/// Which of our crates each may depend on. The manifests make it a fact; this says what they are to be.
#[test]
fn dependencies_have_a_direction() {
    for (name, allowed) in [
        ("gray-document", &[][..]),
        ("gray-tls", &[]),
        ("gray-http1", &[]),
        ("gray-core", &["gray-document"]),
        ("gray-expression", &["gray-document"]),
        ("gray-settings", &["gray-core", "gray-document"]),
        ("gray-rules", &["gray-core", "gray-document", "gray-expression", "gray-settings"]),
        ("gray-routes", &["gray-core", "gray-document", "gray-expression", "gray-rules", "gray-settings"]),
        ("gray-context", &["gray-core"]),
        ("gray-registry", &["gray-core", "gray-document"]),
        ("gray-nacos", &["gray-core", "gray-registry", "gray-tls"]),
        ("gray-eureka", &["gray-core", "gray-registry", "gray-tls"]),
        ("gray-live", &["gray-core", "gray-document", "gray-registry", "gray-settings"]),
        ("../adapters/gray-reqwest", &["gray-core", "gray-context"]),
        ("../adapters/gray-tonic", &["gray-core", "gray-context"]),
    ] {
        let path = workspace().join("crates").join(name).join("Cargo.toml");
        let manifest = fs::read_to_string(path).expect("readable");
        let dependencies = manifest.split("\n[dependencies]\n").nth(1).expect("dependencies");
        let ours = dependencies.lines().take_while(|line| !line.starts_with('[')).filter_map(|line| {
            let end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '-')?;
            line.get(..end).filter(|dependency| dependency.starts_with("gray-"))
        });
        for dependency in ours {
            assert!(allowed.contains(&dependency), "{name} depends on {dependency}");
        }
    }
}

/// Of other crates the starter shows what the author of a service uses. Gateway and tools take the rest where it is.
#[test]
fn the_starter_shows_no_crate_whole() {
    let mut shown: Vec<String> = Vec::new();
    for (_, text) in product(sources(&workspace().join("gray-common/src"))) {
        let uses = text.split("pub use gray_").skip(1).filter_map(|rest| rest.split_once(';'));
        shown.extend(uses.map(|(path, _)| path.split_whitespace().collect::<String>().replace(",}", "}")));
    }
    shown.sort();
    let expect = [
        "context::{HttpHeaders,HttpHeadersMut,ReleaseContext,spawn}",
        "core::balance::{Strategy,VersionPolicy}",
        "core::{Endpoint,Instance,tag::{GRAY_HEADER,GrayStatus}}",
        "live::{ServiceView,ViewSnapshot}",
    ];
    assert_eq!(shown, expect, "what gray-common re-exports");
}

#[test]
fn every_metric_is_documented() {
    let documented = fs::read_to_string(workspace().join("docs/metrics.md")).expect("readable");
    let mut count = 0;
    let adapters = fs::read_dir(workspace().join("adapters")).expect("readable").map(|entry| entry.expect("readable"));
    let adapters = adapters.map(|entry| format!("adapters/{}", entry.file_name().to_string_lossy()));
    for member in ["gray-common", "gray-gateway"].map(str::to_owned).into_iter().chain(crates()).chain(adapters) {
        for file in sources(&workspace().join(member).join("src")) {
            let text = fs::read_to_string(&file).expect("readable");
            for name in text.split('"').filter(|text| {
                let is_ours = [
                    "gray_bad_",
                    "gray_baggage_",
                    "gray_build_",
                    "gray_client_",
                    "gray_edge_",
                    "gray_eureka_",
                    "gray_fallback_",
                    "gray_gateway_",
                    "gray_messages_",
                    "gray_nacos_",
                    "gray_registry_",
                    "gray_service_",
                    "gray_unversioned_",
                    "process_",
                ];
                is_ours.iter().any(|prefix| text.starts_with(prefix))
                    && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            }) {
                count += 1;
                assert!(
                    documented.contains(&format!("| `{name}` |")),
                    "{}: {name} is not in docs/metrics.md",
                    file.display()
                );
            }
        }
    }
    assert!(count > 15, "{count} metrics found");
}

#[test]
fn chinese_pages_are_in_step() {
    // Headings, rows and columns of tables; words are the translator's.
    let outline = |page: &Path| -> Vec<usize> {
        let text = fs::read_to_string(page).expect("readable");
        let lines = text.lines().filter(|line| line.starts_with(['#', '|']));
        lines.map(|line| if line.starts_with('#') { 0 } else { line.matches('|').count() }).collect()
    };
    let pages = fs::read_dir(workspace().join("docs/zh")).expect("readable");
    for page in pages.map(|entry| entry.expect("readable").path()) {
        let original = workspace().join("docs").join(page.file_name().expect("a name"));
        assert_eq!(
            outline(&page),
            outline(&original),
            "{}: headings or tables differ from the English page",
            page.display()
        );
    }
}

#[test]
fn apps_do_not_know_each_other() {
    for (member, forbidden) in [
        ("user-client", &["user-app", "order-app", "gray-gateway"][..]),
        ("user-app", &["order-app", "gray-gateway", "user-client"]),
        ("order-app", &["user-app", "gray-gateway"]),
    ] {
        let manifest = fs::read_to_string(workspace().join(member).join("Cargo.toml")).expect("readable");
        for name in forbidden {
            let depends = manifest
                .lines()
                .any(|line| line.starts_with(&format!("{name}.")) || line.starts_with(&format!("{name} ")));
            assert!(!depends, "{member} depends on {name}");
        }
    }
}
