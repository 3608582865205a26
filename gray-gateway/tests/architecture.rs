//! The modules of the gateway stand on each other: none of them needs one that needs it. What it stands on is pure where it
//! says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Names that follow `crate::`, alone or in braces.
fn imported(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut take = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        found.insert(text[..end].to_owned());
    };
    for after in text.split("crate::").skip(1) {
        let Some(list) = after.strip_prefix('{') else {
            take(after);
            continue;
        };
        let (mut depth, mut is_first) = (0, true);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => is_first = true,
                _ if is_first && !c.is_whitespace() => {
                    take(&list[at..]);
                    is_first = false;
                }
                _ => {}
            }
        }
    }
    found
}

/// What the sources of a module import of the crate, tests left out.
fn read(path: &Path, found: &mut BTreeSet<String>) {
    if path.file_stem().is_some_and(|name| name == "tests") {
        return;
    }
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("readable") {
            read(&entry.expect("readable").path(), found);
        }
        return;
    }
    let text = fs::read_to_string(path).expect("readable");
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    found.extend(imported(&code.join("\n")));
}

#[test]
fn modules_import_in_one_direction() {
    let mut modules: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("readable") {
        let path = entry.expect("readable").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        read(&path, modules.entry(name).or_default());
    }
    for program in ["lib", "main"] {
        modules.remove(program);
    }
    assert!(modules.len() > 15, "{} modules found", modules.len());
    assert!(modules["app"].contains("admin"), "imports are found");
    // A module that needs none of those left is dropped; those that remain are in a circle, or need one.
    loop {
        let names: BTreeSet<_> = modules.keys().cloned().collect();
        for (name, imports) in &mut modules {
            imports.retain(|import| import != name && names.contains(import));
        }
        let before = modules.len();
        modules.retain(|_, imports| !imports.is_empty());
        if modules.len() == before {
            break;
        }
    }
    assert!(modules.is_empty(), "a circle, and what needs it: {modules:#?}");
}

/// Libraries that anything may be built on: they bring no runtime, no server, no client.
#[test]
fn pure_crates_stay_pure() {
    for (name, forbidden) in [
        ("gray-http1", &["gray-", "tokio", "hyper", "futures", "axum", "tower", "rustls", "tracing"][..]),
        (
            "gray-routes",
            &["gray-gateway", "gray-http1", "tokio", "hyper", "futures", "axum", "tower", "governor", "tracing"],
        ),
    ] {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates").join(name).join("Cargo.toml");
        let manifest = fs::read_to_string(manifest).expect("readable");
        let dependencies = manifest.split("[dependencies]").nth(1).expect("dependencies");
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        for dependency in dependencies.lines() {
            assert!(!forbidden.iter().any(|known| dependency.starts_with(known)), "{name}: {dependency}");
        }
    }
}
