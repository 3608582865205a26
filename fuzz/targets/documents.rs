//! Documents in every format: read whole or refused, the same twice, and never a panic for those who look at what was read.
#![no_main]

use gray_document::{Documents, Item, Outline, Profiles, Reading, Section};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 4] = ["a.yaml", "a.properties", "a.json", "a"];

fn look(section: &Section<'_>, depth: usize, text: &mut String) {
    for (key, item) in section.keys() {
        text.push_str(&key);
        section.bool(&key);
        item_text(&item, depth, text);
    }
}

fn item_text(item: &Item<'_>, depth: usize, text: &mut String) {
    if depth == 0 {
        return;
    }
    if item.is_map() {
        look(&item.section(), depth - 1, text);
    } else if let Some(one) = item.text() {
        text.push_str(one);
    } else {
        item.items().iter().for_each(|item| item_text(item, depth - 1, text));
    }
}

fn read(name: &str, text: &str, reading: &Reading) -> String {
    match Documents::parse_for(&[(name, text), ("b.yaml", "a: { b: 1 }\nlist: [x, y]")], reading, &|_| None) {
        Ok(documents) => {
            let mut seen = String::new();
            look(&documents.root(), 70, &mut seen);
            documents.root().reject_unknown();
            seen + &documents.take_problems().to_string()
        }
        Err(problems) => problems.to_string(),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((first, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let profiles = if first & 4 == 0 { Profiles::default() } else { "dev,eu".parse().expect("profiles") };
    drop(profiles.accept(text));
    let reading = Reading { profiles, lists: vec![("a.json".to_owned(), "list".to_owned())], ..Reading::default() };
    let name = NAMES[usize::from(first & 3)];
    let seen = read(name, text, &reading);
    assert_eq!(seen, read(name, text, &reading));
    if let Some(outline) = Outline::of(name, text, &reading) {
        assert!(!outline.is_blank() || !outline.has_values());
        outline.states("spring.cloud.gateway.routes");
    }
    drop(text.parse::<Profiles>());
});
