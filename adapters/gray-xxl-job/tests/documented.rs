//! What is said of this crate elsewhere.

use std::{fs, path::Path};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_metric_is_documented() {
    let pages = [read("../../docs/metrics.md"), read("../../docs/zh/metrics.md")];
    let telemetry = read("src/telemetry.rs");
    let names: Vec<_> = telemetry.split('"').filter(|text| text.starts_with("gray_job_")).collect();
    assert!(names.len() > 3, "{names:?}");
    for name in names {
        assert!(pages.iter().all(|page| page.contains(&format!("| `{name}` |"))), "{name} is not in docs/metrics.md");
    }
}

#[test]
fn it_depends_on_the_context_and_the_core_alone() {
    let manifest = read("Cargo.toml");
    let (dependencies, _) = manifest.split_once("[dev-dependencies]").expect("both");
    let ours = dependencies.lines().filter(|line| line.starts_with("gray-"));
    for line in ours {
        assert!(line.starts_with("gray-context.") || line.starts_with("gray-core "), "{line}");
    }
}
