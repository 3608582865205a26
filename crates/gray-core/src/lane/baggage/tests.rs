use proptest::prelude::*;

use super::*;

const LANE: &[u8] = b"8f3a11c0;v2;-;order-app=version:V2|version:V1;*=version:V1";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn one(line: &str) -> Member<'_> {
    members(line.as_bytes()).next().expect("a member")
}

fn merged(ours: &str, lines: &[&str]) -> (String, Dropped) {
    let mut out = ["before", ours].concat().into_bytes();
    let dropped = write_others(&mut out, "before".len(), lines.iter().map(|line| line.as_bytes()));
    (text(&out).strip_prefix("before").expect("appended").to_owned(), dropped)
}

#[test]
fn a_member_says_what_the_headers_say() {
    for (signature, lane) in
        [(None, Some(LANE)), (Some(&b"17.ab"[..]), Some(LANE)), (Some(b"17.ab"), None), (None, None)]
    {
        let mut out = Vec::new();
        assert!(write_member(&mut out, GrayStatus::Gray, signature, lane));
        let member = one(std::str::from_utf8(&out).expect("text"));
        assert!(member.is_well_formed() && member.is_spelling_of_ours());
        let value = decoded(member.ours().expect("ours"));
        assert_eq!(MemberParts::of(&value), MemberParts { tag: b"GRAY", signature, lane });
    }
    let mut out = Vec::new();
    write_member(&mut out, GrayStatus::Prod, None, Some(b"r+1;a~b;-;*=!x|*"));
    assert_eq!(text(&out), "gray-lane=PROD%3B-%3Br%2B1%3Ba~b%3B-%3B%2A%3D%21x%7C%2A");
}

#[test]
fn a_member_that_libraries_would_drop_is_not_written() {
    let mut out = b"a".to_vec();
    let longest = MAX_MEMBER_BYTES - "gray-lane=ALL%3B-%3B".len();
    assert!(!write_member(&mut out, GrayStatus::All, None, Some(&vec![b'x'; longest + 1])));
    for signature in [&b"-"[..], b"17;ab", b";"] {
        assert!(!write_member(&mut out, GrayStatus::Gray, Some(signature), None), "it would be read as another one");
    }
    assert_eq!(out, b"a");
    assert!(write_member(&mut out, GrayStatus::All, None, Some(&vec![b'x'; longest])));
    assert_eq!(out.len(), MAX_MEMBER_BYTES + 1);
}

#[test]
fn what_a_decoded_member_says_is_taken_apart_and_not_judged() {
    let parts = |value: &'static str| {
        let MemberParts { tag, signature, lane } = MemberParts::of(value.as_bytes());
        (text(tag), signature.map(text), lane.map(text))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(parts(""), (String::new(), None, None));
    assert_eq!(parts("GRAY"), ("GRAY".into(), None, None));
    assert_eq!(parts("GRAY;"), ("GRAY".into(), some(""), None));
    assert_eq!(parts("x;-;"), ("x".into(), None, some("")));
    assert_eq!(parts("x;y;z;-;=;"), ("x".into(), some("y"), some("z;-;=;")));
    for (value, expect) in
        [("%3b%3B", ";;"), ("%", "%"), ("%4", "%4"), ("%zz%41", "%zzA"), ("%2541", "%41"), ("a+b", "a+b")]
    {
        assert_eq!(text(&decoded(value.as_bytes())), expect, "{value}");
    }
}

#[test]
fn our_member_as_others_may_write_it() {
    for line in ["gray-lane=v", " gray-lane = v ", "\tgray-lane=v;p=1; q", "gray-lane=v ;", "gray-lane=v,gray-lane=w"] {
        assert_eq!(one(line).ours().map(text).as_deref(), Some("v"), "{line}");
    }
    for line in ["gray-lane", "Gray-Lane=v", "gray%2Dlane=v", "gray-lanes=v", "gray_lane=v", "x;gray-lane=v"] {
        assert_eq!(one(line).ours(), None, "{line}");
    }
    assert_eq!(members(b" , ,\t,,").count(), 0);
}

#[test]
fn no_spelling_passes_for_ours() {
    for key in [
        "gray-lane",
        "Gray-Lane",
        "GRAY_LANE",
        "graylane",
        "gray.lane",
        "gray%2Dlane",
        "gray%2dlane",
        "gray%252Dlane",
        "%67ray-lane",
        "%67%72%61%79%2d%6c%61%6e%65",
        "%2567ray-lane",
        "%%36%37ray-lane",
        "gray%25%32dlane",
        "gray%2%35%32dlane",
        "+gray-lane",
        "gray-lane+",
        "%20gray-lane%09",
        "%C2%A0gray-lane",
        "gray-lane%00",
        "x%2Cgray-lane",
        "gray-lane%2C",
        "x%3D1%2cgray-lane",
        "x%3D1%252cgray-lane",
        "gray-lane%3D1%2Cx",
        "gray-lane;x",
        "gray%-lane",
        "%gray-lane",
    ] {
        assert!(one(&format!("{key}=v")).is_spelling_of_ours(), "{key}");
    }
    // As deep as anybody likes.
    let deep = |levels: usize| format!("gray%{}2Dlane=v", "25".repeat(levels));
    assert!((0..3000).step_by(100).all(|levels| one(&deep(levels)).is_spelling_of_ours()));
    let hostile = format!("{}=v", "%".repeat(8000));
    assert!(one(&hostile).is_spelling_of_ours(), "nothing that is meant");
    for key in [
        "gray",
        "gray-lanes",
        "x-gray-lane",
        "grayl",
        "ray-lane",
        "lane",
        "a",
        "%zz",
        "user%20id",
        "gray-lane2",
        "100%",
    ] {
        assert!(!one(&format!("{key}=gray-lane")).is_spelling_of_ours(), "{key}");
    }
    let long = format!("{}=v", "a".repeat(8000));
    assert!(!one(&long).is_spelling_of_ours());
}

#[test]
fn members_by_the_grammar() {
    for line in [
        "a=b",
        "a=",
        "a = b",
        "a=b;p",
        "a=b ; p = q ;r",
        "a=b=c",
        "userId=Am%C3%A9lie",
        "a!#$%&'*+-.^_`|~=!#$&'()*+-./:<=>?@[]^_`{|}~",
        "k=v;p=",
    ] {
        assert!(one(line).is_well_formed(), "{line}");
    }
    for line in [
        "a", "=b", " = b", "a b=c", "a=b c", "a=\"b\"", "a=b\\", "a=\u{e9}", "a=b;", "a=b;;c", "a=b;=c", "a=b;p q",
        "a=%", "a=%4", "a=%zz", "a(b)=c", "\u{e9}=1", "a=b;p=%z", "a=\u{7f}",
    ] {
        assert!(!one(line).is_well_formed(), "{line}");
    }
}

#[test]
fn one_line_is_made_of_all() {
    let none = Dropped::default();
    for (ours, lines, expect, dropped) in [
        ("", &[][..], "", none),
        ("o=1", &[], "o=1", none),
        ("o=1", &["a=b;p=q , c=d", "e=f"], "o=1,a=b;p=q,c=d,e=f", none),
        ("", &["a=b", "", " , "], "a=b", none),
        ("o=1", &["gray-lane=x"], "o=1", Dropped { forged: 1, ..none }),
        ("", &["gray-lane=x", "gray%2dlane = y;p,a=b"], "a=b", Dropped { forged: 2, ..none }),
        ("o=1", &["a=\"x,gray-lane=evil\",c=d"], "o=1,c=d", Dropped { forged: 1, malformed: 1, ..none }),
        ("o=1", &["a=b;gray-lane=x"], "o=1,a=b;gray-lane=x", none),
        ("o=1", &["nonsense,,a=b"], "o=1,a=b", Dropped { malformed: 1, ..none }),
    ] {
        assert_eq!(merged(ours, lines), (expect.to_owned(), dropped), "{lines:?}");
    }
}

#[test]
fn the_limits_of_the_standard_are_kept_and_ours_has_its_place() {
    let many: Vec<String> = (0..70).map(|i| format!("k{i}=v")).collect();
    let (line, dropped) = merged("o=1", &[&many.join(",")]);
    assert_eq!(line, format!("o=1,{}", many[..63].join(",")));
    assert_eq!(dropped, Dropped { over: 7, ..Dropped::default() });
    assert_eq!(merged("", &[&many.join(",")]).0, many[..64].join(","));
    let fits = format!("a={}", "x".repeat(MAX_BAGGAGE_BYTES - "o=1,a=".len()));
    assert_eq!(merged("o=1", &[&fits]).0.len(), MAX_BAGGAGE_BYTES);
    let (line, dropped) = merged("o=1", &[&format!("{fits}x,b=c")]);
    assert_eq!((&*line, dropped.over), ("o=1,b=c", 1), "a later one may still fit");
}

/// Pieces of lines: members, spellings of ours, and what is neither.
fn piece() -> impl Strategy<Value = String> {
    const KNOWN: [&str; 15] = [
        "gray-lane=GRAY%3B-%3Br%3Bl%3B-%3B%2A%3D%2A",
        "GRAY-LANE=x",
        "gray%2Dlane=x;p",
        "%2567ray-lane=x",
        " gray-lane =y",
        "a=b",
        "k=v;p=q",
        "nonsense",
        "=",
        ";",
        "\"",
        "x=\"",
        " ",
        "\t",
        "",
    ];
    prop_oneof![
        prop::sample::select(&KNOWN[..]).prop_map(str::to_owned),
        "[a-c%]{1,3}[ ]?=[a-z0-9%.]{0,5}(;[a-z]{1,2}(=[a-z]{0,2})?)?",
        "[ -~\t\u{e9}]{0,12}",
    ]
}

proptest! {
    #[test]
    fn ours_stands_once_and_the_others_as_they_came(
        lines in prop::collection::vec(prop::collection::vec(piece(), 0..8), 0..5),
        has_ours in any::<bool>(),
    ) {
        let lines: Vec<String> = lines.iter().map(|pieces| pieces.join(",")).collect();
        let mut ours = Vec::new();
        if has_ours {
            prop_assert!(write_member(&mut ours, GrayStatus::Gray, Some(b"1.2"), Some(LANE)));
        }
        let mut out = ours.clone();
        let dropped = write_others(&mut out, 0, lines.iter().map(String::as_bytes));
        let sent: Vec<&[u8]> = members(&out).map(Member::as_bytes).collect();
        let others = sent.strip_prefix(&[&*ours][..usize::from(has_ours)]).expect("ours comes first");
        prop_assert!(others.iter().all(|other| !Member(other).is_spelling_of_ours() && Member(other).is_well_formed()));
        prop_assert_eq!(members(&out).filter_map(Member::ours).count(), usize::from(has_ours));
        // Whatever decodes a member as often as it likes, no stranger's becomes ours.
        for other in others {
            let mut key = other.split(|byte| *byte == b'=').next().unwrap_or_default().to_vec();
            for _ in 0..8 {
                key = decoded(&key);
                prop_assert!(key.trim_ascii() != MEMBER_KEY.as_bytes(), "{}", text(other));
            }
        }
        let came: Vec<Member<'_>> = lines.iter().flat_map(|line| members(line.as_bytes())).collect();
        let kept: Vec<&[u8]> = came
            .iter()
            .filter(|member| !member.is_spelling_of_ours() && member.is_well_formed())
            .map(|member| member.as_bytes())
            .collect();
        prop_assert_eq!(others, &*kept);
        prop_assert_eq!(came.len(), kept.len() + dropped.forged + dropped.malformed);
        prop_assert!(str::from_utf8(&out).is_ok_and(|line| line.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte))));
    }

    #[test]
    fn what_is_written_is_read(tag in 0usize..3, signature in prop::option::of("[0-9]{1,9}\\.[0-9a-f]{4}"), lane in prop::option::of("[ -~]{0,60}")) {
        let tag = GrayStatus::ALL[tag];
        let mut out = Vec::new();
        let (signature, lane) = (signature.as_deref().map(str::as_bytes), lane.as_deref().map(str::as_bytes));
        prop_assert!(write_member(&mut out, tag, signature, lane));
        let value = decoded(Member(&out).ours().expect("ours"));
        prop_assert_eq!(MemberParts::of(&value), MemberParts { tag: tag.as_str().as_bytes(), signature, lane });
    }

    #[test]
    fn nothing_panics(line in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut out = Vec::new();
        write_others(&mut out, 0, [&*line].into_iter());
        members(&line).filter_map(Member::ours).for_each(|value| drop(decoded(value)));
    }
}
