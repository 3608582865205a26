//! What Spring said is what ours says, but for what is known. `make compat` asks Spring itself.

use std::{collections::BTreeSet, fs, path::Path, thread};

use compat::{
    answers::Answers,
    backend::Backend,
    cases,
    differences::{KNOWN, judge},
    document::Document,
    release::Release,
    run,
};

/// Most of the time is spent waiting.
const THREADS: usize = 6;

/// Names of the rows that were needed, and what no row explains.
#[derive(Default)]
struct Replayed {
    needed: BTreeSet<&'static str>,
    unknown: Vec<String>,
}

impl Replayed {
    async fn add(&mut self, release: Release, document: &Document, answers: &Answers) {
        let backend = Backend::start().await.expect("listens");
        for (case, ours) in run::ours(release, document, &backend).await.expect("our gateway starts") {
            let place = format!("{release} {}: {}\n{}", document.name, case.request, case.yaml());
            let Some(spring) = answers.get(case) else {
                self.unknown.push(format!("{place}\nnot recorded: scripts/compat.sh --record"));
                continue;
            };
            for (difference, row) in judge(release, case, spring, &ours) {
                match row {
                    Some(name) => drop(self.needed.insert(name)),
                    None => self.unknown.push(format!("{place}\n{difference:?}")),
                }
            }
        }
    }
}

/// Every document of a release, each thread its share.
fn replay(release: Release, documents: &[Document]) -> Replayed {
    let answers = Answers::read(release).expect("recorded");
    let of_one = |number: usize| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut replayed = Replayed::default();
        let share = documents.iter().filter(|document| document.since <= release).skip(number).step_by(THREADS);
        share.for_each(|document| runtime.block_on(replayed.add(release, document, &answers)));
        replayed
    };
    let mut all = Replayed::default();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let of_one = &of_one;
                scope.spawn(move || of_one(number))
            })
            .collect();
        for thread in threads {
            let Replayed { needed, unknown } = thread.join().expect("no panic");
            all.needed.extend(needed);
            all.unknown.extend(unknown);
        }
    });
    all
}

#[test]
fn recorded_answers_of_spring_are_ours() {
    let documents = cases::all().expect("valid");
    let mut all = Replayed::default();
    for release in Release::ALL {
        let Replayed { needed, unknown } = replay(release, &documents);
        all.needed.extend(needed);
        all.unknown.extend(unknown);
    }
    let Replayed { needed, unknown } = all;
    let first: Vec<_> = unknown.iter().take(20).map(String::as_str).collect();
    assert!(unknown.is_empty(), "{} differences, the first of them:\n{}", unknown.len(), first.join("\n\n"));
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
