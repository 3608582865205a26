//! Rules of which every part is in bounds and the sum is not; and large ones that are as people write them.

use super::{problems, rules};

/// A rule for each number.
fn each(count: usize, when: impl Fn(usize) -> String) -> String {
    let rule = |number| format!("  - {{ name: r{number}, when: {{ {} }}, lane: gray }}\n", when(number));
    format!("gray:\n  rules:\n{}", (0..count).map(rule).collect::<String>())
}

#[test]
fn what_comes_to_too_much_is_refused_with_its_line() {
    let doubled: String = (1..30).map(|level| format!("    f{level}: [f{0}, f{0}]\n", level - 1)).collect();
    let more: String =
        (1..30).map(|level| format!("    f{level}: [{}]\n", format!("f{}, ", level - 1).repeat(15))).collect();
    let services: String = (0..300).map(|number| format!("s{number}: V1, ")).collect();
    let lanes: String = (0..1_000).map(|number| format!("    l{number}: {{ select: V2 }}\n")).collect();
    let long = "k".repeat(200);
    for (what, text, expect) in [
        (
            "expressions",
            each(300, |number| format!(r"header.X: {{ regex: '\w{{8}}{number}' }}")),
            "regular expressions",
        ),
        (
            "classes of characters",
            each(30, |number| format!("header.X: {{ regex: '(?i){number}{}' }}", "[ -\u{10fff0}]".repeat(100))),
            "regular expressions",
        ),
        (
            "one text, copied",
            format!("x: &x {}\n{}", "x".repeat(500_000), each(9, |_| "header.X: *x".into())),
            "4 MiB of text",
        ),
        ("facts of facts", format!("gray:\n  facts:\n    f0: [header.X]\n{doubled}"), "at most 16 facts"),
        ("facts of facts that are none", format!("gray:\n  facts:\n    f0: [header.X]\n{more}"), "at most 16 facts"),
        ("facts", each(4_500, |number| format!("header.X-{number}: y")), "facts"),
        (
            "a name",
            format!("gray.rules: [{{ name: r, when: {{ jwt: {{ {long}: {{ {long}: x }} }} }}, lane: gray }}]"),
            "256 bytes",
        ),
        ("lanes", format!("gray:\n  baseline: {{ services: {{ {services} }} }}\n  lanes:\n{lanes}"), "lanes"),
        ("a block", each(1, |_| (0..300).map(|number| format!("header.X-{number}: y, ")).collect()), "256 conditions"),
        (
            "values and networks",
            format!(
                "x: &x {}\ny: &y '{}'\n{}",
                "x".repeat(20),
                vec!["1.1.1.1"; 46_000].join(","),
                each(6, |number| match number {
                    0 => format!("header.X: [{}]", "*x,".repeat(45_000)),
                    1 => format!("header.Y: [{}]", "*x,".repeat(45_000)),
                    _ => "ip: *y".into(),
                })
            ),
            "250000 commas",
        ),
    ] {
        let found = problems(&text);
        assert!(found.contains("gray-rules.yaml:") && found.contains(expect), "{what}: {found:.400}");
        assert!(found.len() < 100_000, "{what}: said at length");
        assert!(found.matches("all documents together may take 32 MiB").count() <= 1, "{what}: {found:.2000}");
    }
}

#[test]
fn large_documents_as_people_write_them_are_taken() {
    let values = |count: usize| (0..count).map(|value| format!("U{value:05},")).collect::<String>();
    rules(&each(850, |number| format!("header.X-User: [{}], header.X-App: 'v{number}'", values(100))));
    rules(&each(3_000, |number| {
        format!("header.X-User: 'U{number}', path: {{ prefix: /api/{number} }}, ip: 10.0.0.0/8")
    }));
    rules(&each(1_000, |number| format!(r"header.X-User: {{ regex: 'U{number}-\d+' }}")));
    rules(&each(5_000, |number| format!(r"header.X-{}: {{ regex: '\w+@example[.]com' }}", number % 20)));
    rules(&each(1, |_| format!("ip: '{}'", vec!["10.0.0.0/8"; 60_000].join(","))));
}
