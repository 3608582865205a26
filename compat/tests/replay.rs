//! What Spring said is what ours says, but for what is known. `make compat` asks Spring itself.

use std::{collections::BTreeSet, fs, path::Path};

use compat::{
    answers::Answers,
    backend::Backend,
    cases,
    differences::{KNOWN, judge},
    release::Release,
    run,
};

/// Names of the rows that were needed, and what no row explains.
async fn replay(release: Release) -> (BTreeSet<&'static str>, Vec<String>) {
    let (answers, documents) = (Answers::read(release).expect("recorded"), cases::all().expect("valid"));
    let backend = Backend::start().await.expect("listens");
    let (mut needed, mut unknown) = (BTreeSet::new(), Vec::new());
    for document in documents.iter().filter(|document| document.since <= release) {
        for (case, ours) in run::ours(release, document, &backend).await.expect("our gateway starts") {
            let Some(spring) = answers.get(case) else {
                unknown.push(format!("{}: {} is not recorded: make compat-record", document.name, case.request));
                continue;
            };
            for (difference, row) in judge(release, case, spring, &ours) {
                match row {
                    Some((name, _)) => drop(needed.insert(name)),
                    None => {
                        unknown.push(format!("{}: {}\n{}\n{difference:?}", document.name, case.request, case.yaml()))
                    }
                }
            }
        }
    }
    (needed, unknown)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_answers_of_spring_are_ours() {
    let mut needed = BTreeSet::new();
    for release in Release::ALL {
        let (rows, unknown) = replay(release).await;
        needed.extend(rows);
        let first: Vec<_> = unknown.iter().take(20).map(String::as_str).collect();
        assert!(
            unknown.is_empty(),
            "{release}: {} differences, the first of them:\n{}",
            unknown.len(),
            first.join("\n\n")
        );
    }
    let unneeded: Vec<_> = KNOWN.iter().map(|known| known.name).filter(|name| !needed.contains(name)).collect();
    assert!(unneeded.is_empty(), "no case differs in this any more: {unneeded:?}");
}

/// Each row with its reason is what users read.
#[test]
fn the_page_has_every_known_difference() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spring.md");
    let page = fs::read_to_string(page).expect("readable");
    let section = page.split("## Where we differ on purpose\n").nth(1).expect("the section");
    let section = section.split("\n## ").next().expect("its end");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let rows: Vec<_> = rows.filter(|name| *name != "difference").collect();
    let names: Vec<_> = KNOWN.iter().map(|known| known.name).collect();
    assert_eq!(rows, names);
}
