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
                folders.push(entry);
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

#[test]
fn the_nacos_sdk_stays_behind_the_traits() {
    for member in ["gray-common", "gray-gateway", "order-app", "user-app", "user-client", "grayctl"] {
        let files: Vec<_> = sources(&workspace().join(member).join("src"))
            .into_iter()
            .filter(|file| !file.components().any(|part| part.as_os_str().to_string_lossy().starts_with("nacos")))
            .collect();
        let found = mentions(&files, &["nacos_sdk::"]);
        assert!(found.is_empty(), "nacos_sdk outside of the nacos modules:\n{}", found.join("\n"));
    }
}

#[test]
fn the_pure_core_imports_nothing_of_the_rim() {
    let src = workspace().join("gray-common/src");
    let mut files = vec![src.join("tag.rs"), src.join("instance.rs")];
    files.extend(sources(&src.join("instance")));
    files.extend(sources(&src.join("rule")));
    files.extend(sources(&src.join("balance")));
    files.extend(sources(&src.join("lane")));
    let rim = ["crate::registry", "crate::config_source", "crate::layer", "crate::client", "crate::service", "tokio::"];
    let found = mentions(&files, &rim);
    assert!(found.is_empty(), "the pure core reaches out:\n{}", found.join("\n"));
}

#[test]
fn every_metric_is_documented() {
    let documented = fs::read_to_string(workspace().join("docs/metrics.md")).expect("readable");
    let mut count = 0;
    for member in ["gray-common", "gray-gateway"] {
        for file in sources(&workspace().join(member).join("src")) {
            let text = fs::read_to_string(&file).expect("readable");
            for name in text.split('"').filter(|text| {
                let is_ours = [
                    "gray_bad_",
                    "gray_build_",
                    "gray_client_",
                    "gray_edge_",
                    "gray_fallback_",
                    "gray_gateway_",
                    "gray_nacos_",
                    "gray_registry_",
                    "gray_service_",
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
        ("gray-gateway", &["user-app", "order-app", "user-client"]),
        ("gray-common", &["user-app", "order-app", "user-client", "gray-gateway"]),
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
