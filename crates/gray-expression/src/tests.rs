use super::*;

fn compiled(text: &str, form: Form) -> Result<Expression, Unfit> {
    Expression::new(text, form, |_| Ok(()))
}

#[test]
fn the_whole_of_a_value() {
    for (form, expression, text, expect) in [
        (Form::WholeBytes, "a|b", "b", true),
        (Form::WholeBytes, "a|b", "ab", false),
        (Form::WholeBytes, "(?m)a", "x\na", false),
        (Form::WholeBytes, "", "", true),
        (Form::WholeBytes, r"\d+", "123", true),
        (Form::WholeBytes, r"\d+", "x123", false),
        (Form::WholeBytes, "A", "a", false),
    ] {
        let found = compiled(expression, form).expect(expression).is_match(text);
        assert_eq!(found, expect, "{form:?} {expression} {text:?}");
    }
    assert!(compiled(r"(?-u:\xff)", Form::WholeBytes).expect("bytes").is_match(b"\xff"));
}

#[test]
fn what_cannot_be_used_says_why() {
    let nested = "(".repeat(51) + &")".repeat(51);
    let long = "a".repeat(MAX_TEXT + 1);
    for (expression, why) in [
        ("a)|(b", "unopened group"),
        ("(?=x)x", "look-around"),
        (r"(a)\1", "backreferences"),
        ("a{1", "repetition"),
        ("((a{1000}){1000}){1000}", "size limit"),
        (&nested, "nest"),
        (&long, "longer"),
    ] {
        let error = compiled(expression, Form::WholeBytes).expect_err(expression).to_string();
        assert!(error.contains(why) && !error.contains('\n'), "{error}");
    }
}

/// Every way to make reading or compiling dear has its price before it is paid.
#[test]
fn what_is_dear_costs() {
    let price = |text: &str, form| {
        let mut spent = 0;
        drop(Expression::new(text, form, |bytes| {
            spent += bytes;
            Ok::<_, Unfit>(())
        }));
        spent
    };
    let plain = price("gray-.*", Form::WholeBytes);
    assert!((512..20 << 10).contains(&plain), "a plain one is cheap: {plain}");
    for (text, form, at_least) in [
        // Written out, and thrown away again: next to nothing is compiled.
        (r"[\w&&a]".repeat(500), Form::WholeBytes, 500 * 4096),
        (format!("(?i){}", r"[\w&&a]".repeat(100)), Form::WholeBytes, 100 * 32_000),
        ("(?i:[ -\u{10fff0}])".repeat(20), Form::WholeBytes, 20 * 250_000),
        // Never compiled to the end.
        ("(a{1000}){1000}".into(), Form::WholeBytes, MAX_COMPILED),
        (r"\w{15}".into(), Form::WholeBytes, 500_000),
    ] {
        let spent = price(&text, form);
        assert!(spent >= at_least, "{spent} for {text:.40}, expected {at_least}");
    }
}

/// However many expressions and whatever is searched: a thread keeps so much and not more.
#[test]
fn searches_keep_a_bounded_memory() {
    let expressions: Vec<_> = (0..300)
        .map(|number| compiled(&format!(r"x{number}(?:\w|-)*a.{{12}}"), Form::WholeBytes).expect("good"))
        .collect();
    let mut most = 0;
    for round in 0..3 {
        for (number, expression) in expressions.iter().enumerate() {
            let text = format!("x{number}{}aaaaaaaaaaaaa", "ab-é杭".repeat(20 + round));
            assert!(expression.is_match(text));
            most = most.max(search::kept());
        }
    }
    assert!(most > KEPT_BYTES / 2, "kept, up to the limit: {most}");
    assert!(search::kept() <= KEPT_BYTES, "{}", search::kept());
}
