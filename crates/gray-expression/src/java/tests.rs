use std::fmt::Write as _;

use super::*;
use crate::MAX_COMPILED;

fn compiled(text: &str, form: JavaForm) -> Result<JavaExpression, Unfit> {
    JavaExpression::new(text, form, |_| Ok(()))
}

fn unescaped(text: &str) -> String {
    let (mut plain, mut rest) = (String::new(), text.chars());
    while let Some(c) = rest.next() {
        match (c, if c == '\\' { rest.next() } else { None }) {
            ('\\', Some('n')) => plain.push('\n'),
            ('\\', Some('r')) => plain.push('\r'),
            ('\\', Some('t')) => plain.push('\t'),
            ('\\', Some('u')) => {
                let code: String = rest.by_ref().skip(1).take_while(|c| *c != '}').collect();
                plain.extend(u32::from_str_radix(&code, 16).ok().and_then(char::from_u32));
            }
            ('\\', escaped) => plain.extend(escaped),
            (c, _) => plain.push(c),
        }
    }
    plain
}

/// Every match as `<the whole|group 1|...>`, `~` for a group that takes no part.
fn replaced(expression: &JavaExpression, text: &str) -> String {
    let replaced = expression.replace_all(text, &Steps::default(), |groups, out| {
        let all = (0..expression.groups()).map(|group| groups.get(group).unwrap_or("~"));
        write!(out, "<{}>", all.collect::<Vec<_>>().join("|")).expect("text");
    });
    replaced.expect("few steps").into_owned()
}

/// What `java.util.regex` of JDK 17 makes of expressions: a line for each, with a digit for each of the inputs of the first line
/// (whether it matches as a whole), and what `replaceAll` makes of it (`=`: nothing).
#[test]
fn the_same_as_java() {
    /// Java takes them, we do not.
    const REFUSED: [&str; 5] = [r"\p{InGreek}x", r"\G", r"(a)\2", "(?<=a*)b", "[a&&]"];
    /// Java leaves the group as an earlier place in the text has set it, where it must not match.
    const LEAKING: &str = r"(?!(a))\w";
    /// A last round of these matches nothing, and engines differ in whether their group notes it.
    const STALLING: [&str; 5] = ["(a*)*", "(a*)+", "()*", "(|a)+", "(a|)+"];
    let mut lines = include_str!("expected.tsv").lines();
    let inputs: Vec<_> = lines.next().expect("inputs").split('\t').skip(1).map(unescaped).collect();
    let (mut count, mut refused) = ((0, 0), Vec::new());
    for line in lines {
        let (text, expected) = line.split_once('\t').expect("an expression and what it makes");
        let text = unescaped(text);
        let (whole, within) = (compiled(&text, JavaForm::Whole), compiled(&text, JavaForm::Within));
        if expected == "error" || REFUSED.contains(&&*text) {
            assert!(whole.is_err() && within.is_err(), "{text} was taken");
            count.1 += 1;
            continue;
        }
        let (whole, within) = match (whole, within) {
            (Ok(whole), Ok(within)) => (whole, within),
            (whole, within) => {
                refused.push(format!("{text}: {:?}", whole.err().or(within.err()).map(|error| error.to_string())));
                continue;
            }
        };
        let (digits, made) = expected.split_once('\t').expect("digits and texts");
        for ((input, digit), made) in inputs.iter().zip(digits.chars()).zip(made.split('\t')) {
            // JDK 19 and later: `\b` is of ASCII, as `\w` is.
            if (text.contains(r"\b") || text.contains(r"\B")) && !input.is_ascii() && !text.contains("(?U)") {
                continue;
            }
            // The linear engine takes terminators beyond ASCII for `.`, and knows none at the end.
            if within.is_linear() && text.contains('.') && input.contains('\u{2028}') {
                continue;
            }
            let matches = whole.is_match(input, &Steps::default()).expect("few steps");
            assert_eq!(matches, digit == '1', "{text} as a whole: {input:?}");
            let is_of_lines = text.contains('$') || text.contains(r"\Z");
            let is_open = STALLING.contains(&&*text) || (is_of_lines && input.ends_with(['\n', '\u{2028}']));
            if within.is_linear() && is_open {
                continue;
            }
            let expect = if made == "=" { input.clone() } else { unescaped(made) };
            let made = replaced(&within, input);
            if made != expect && text != LEAKING {
                refused.push(format!("{text} within {input:?}: {made:?}, not {expect:?}"));
            }
            count.0 += 1;
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
    assert!(count.0 > 4_000 && count.1 > 25, "{count:?}");
}

#[test]
fn what_can_be_linear_is() {
    for (text, is_linear) in [
        (r"/red/(?<rest>.*)", true),
        (r"(?i)\d+[a-z&&[^x]]*?\p{L}{2,3}$", true),
        (r"(?s)\Qa.b\E\b.", true),
        ("(?!a).", false),
        ("(?<=a)b", false),
        (r"(a)\1", false),
        ("(?>a)", false),
        ("a*+", false),
        ("(?m)^a", false),
    ] {
        assert_eq!(compiled(text, JavaForm::Whole).expect(text).is_linear(), is_linear, "{text}");
    }
}

#[test]
fn what_cannot_be_used_says_why() {
    let nested = "(".repeat(60) + &")".repeat(60);
    let classes = "[a".repeat(60) + &"]".repeat(60);
    let groups = "(a)".repeat(MAX_GROUPS + 1);
    let long = "a".repeat(MAX_TEXT + 1);
    for (text, why) in [
        ("a)|(b", "`)` without `(` at character 2"),
        ("(a", "`(` is never closed"),
        ("[a", "`[` is never closed"),
        (r"x\y", r"`\y` is not an escape that can be used here at character 2"),
        (r"\p{Nothing}", "`\\p{Nothing}` is not a set that is known"),
        ("(?<=a*)b", "no greatest length"),
        (r"(a)\2", "there is no group 2"),
        ("a**", "`*` repeats nothing"),
        ("a{1", "{n}, {n,} or {n,m}"),
        ("a{2,1}", "{n}, {n,} or {n,m}"),
        ("[a&&]", "nothing on its right"),
        ("((a{1000}){1000}){1000}", "size limit"),
        ("(?!b)((a{1000}){1000}){1000}", "size limit"),
        ("(?!b)(((((){1000}){1000}){1000}){1000}){1000}", "size limit"),
        (&nested, "nest"),
        (&classes, "nest"),
        (&groups, "groups"),
        (&long, "longer"),
    ] {
        let error = compiled(text, JavaForm::Within).expect_err(text).to_string();
        assert!(error.contains(why) && !error.contains('\n'), "{text:.30}: {error}");
    }
}

#[test]
fn names_and_case() {
    let named = compiled("(?<a>x)(y)(?<b2>z)", JavaForm::Within).expect("groups");
    assert_eq!((named.groups(), named.group("b2"), named.group("c")), (4, Some(3), None));
    // Documents written for this gateway may have it.
    assert_eq!(compiled("(?P<a>x)", JavaForm::Within).expect("a group").group("a"), Some(1));
    let any_case = compiled(r"a[b-c]\1?(?!X)(D).", JavaForm::WholeAnyCase).expect("any case");
    assert_eq!(any_case.is_match("ABdz", &Steps::default()), Ok(true));
    assert_eq!(any_case.is_match("ABxd", &Steps::default()), Ok(false));
}

/// Expressions that take for ever on what a client can send: neither "matches" nor "does not match" comes of it.
#[test]
fn too_many_steps_are_no_answer() {
    let (many, nested) = ("a".repeat(2000), "a".repeat(40));
    for (text, input) in [
        (r"(?!x)(a+)+b", &*nested),
        (r"(?!x)(a|a)*b", &nested),
        (r"(?!x)(.*)*b", &nested),
        (r"(?!x)(a*)*b", &nested),
        (r"(.*)(.*)(.*)(.*)\1b", &many),
        (r"(?=.*b)(?=.*c).*", &"a".repeat(300_000)),
        (r"(?<=a{0,1000})b", &many),
    ] {
        let steps = Steps::default();
        let whole = compiled(text, JavaForm::Whole).expect(text);
        let within = compiled(text, JavaForm::Within).expect(text);
        let found = [
            whole.is_match(input, &steps),
            within.is_match(input, &Steps::default()),
            within.replace_all(input, &Steps::default(), |_, _| {}).map(|_| true),
        ];
        assert!(found.contains(&Err(StepLimit)), "{text}: {found:?}");
        // Once the account is empty, nothing is known any more.
        if found[0].is_err() {
            assert_eq!((steps.left(), whole.is_match("", &steps)), (0, Err(StepLimit)), "{text}");
        }
    }
}

/// What is written in documents is far from the limit, on longer paths than those of usual clients.
#[test]
fn usual_expressions_take_few_steps() {
    let path = format!("/red/{}", "segment-1/".repeat(200));
    for text in [
        r"/red(?!/admin)(?<rest>/?.*)",
        r"^(?!.*(admin|actuator)).*$",
        r"/red/(?<rest>(?!internal/).*)",
        r"(?=.*\d)(?=.*[a-z]).+",
        r"/red/[^/]++/.*",
    ] {
        let steps = Steps::default();
        assert_eq!(compiled(text, JavaForm::Whole).expect(text).is_match(&path, &steps), Ok(true), "{text}");
        let used = Steps::LIMIT - steps.left();
        assert!(used < Steps::LIMIT / 2, "{text}: {used} steps for {} bytes", path.len());
    }
}

/// Every way to make reading or compiling dear has its price before it is paid.
#[test]
fn what_is_dear_costs() {
    let price = |text: &str, form| {
        let mut spent = 0;
        drop(JavaExpression::new(text, form, |bytes| {
            spent += bytes;
            Ok::<_, Unfit>(())
        }));
        spent
    };
    let plain = price("gray-.*", JavaForm::Whole);
    assert!((512..24 << 10).contains(&plain), "a plain one is cheap: {plain}");
    for (text, form, at_least) in [
        (r"[\p{L}&&a]".repeat(400), JavaForm::Whole, 400 * 4096),
        (format!("(?iu){}", r"[\p{L}&&a]".repeat(100)), JavaForm::Whole, 100 * 32_000),
        ("(?iu:[ -\u{10fff0}])".repeat(20), JavaForm::Whole, 20 * 250_000),
        ("(a{1000}){1000}".into(), JavaForm::Whole, MAX_COMPILED),
        ("(?!b)a{16000}".into(), JavaForm::Whole, 100_000),
        (r"\p{L}{15}".into(), JavaForm::Whole, 200_000),
        // Groups are noted for every state.
        (format!("({})", "(".repeat(20) + ".{20}" + &")".repeat(20)), JavaForm::Within, 20 * 8192),
    ] {
        let spent = price(&text, form);
        assert!(spent >= at_least, "{spent} for {text:.40}, expected {at_least}");
    }
}

#[test]
fn quoting_is_written_out() {
    for (text, expect) in [
        ("a", "a"),
        (r"\Qa.1\Eb", r"a\.\x31b"),
        (r"\\Qa", r"\\Qa"),
        (r"x\Q*", r"x\*"),
        (r"\Q\E", ""),
        (r"\Q\\E\Qé\E", r"\\é"),
    ] {
        assert_eq!(unquoted(text), expect, "{text}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// Both engines agree where both can: a group that never takes part makes an expression one for the engine that goes back.
    #[test]
    fn both_engines_find_the_same(text in "(\\(\\?:|\\(|\\)|\\||a|b|é|\\.|\\[ab\\]|\\[\\^a\\]|\\*|\\+\\?|\\?|\\{1,2\\}|\\^|\\$|\\\\b){0,10}", input in "(a|b|é|-){0,8}") {
        let stepwise = format!("(?:{text})(?!\u{1})");
        if let (Ok(linear), Ok(stepwise)) = (compiled(&text, JavaForm::Within), compiled(&stepwise, JavaForm::Within)) {
            proptest::prop_assert!(!stepwise.is_linear());
            // Of groups within repetitions that match nothing, engines differ in what the last round leaves.
            let bare = |expression: &JavaExpression| {
                let write = |groups: &Groups<'_>, out: &mut String| {
                    out.extend(["<", groups.get(0).unwrap_or("~"), ">"]);
                };
                expression.replace_all(&input, &Steps::default(), write).map(Cow::into_owned)
            };
            proptest::prop_assert_eq!(bare(&linear), bare(&stepwise));
        }
    }

    #[test]
    fn nothing_panics(text in "[a-c(){}\\[\\]*+?|^$.\\\\dwpQEkL<>=!:&,0-9 #é-]{0,24}", input in "[a-c0-9é\n]{0,12}") {
        for form in [JavaForm::Whole, JavaForm::Within, JavaForm::WholeAnyCase] {
            if let Ok(expression) = compiled(&text, form) {
                let _matches = expression.is_match(&input, &Steps::default());
                let _replaced = expression.replace_all(&input, &Steps::default(), |_, _| {});
            }
        }
    }
}
