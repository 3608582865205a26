//! Values that another program would have to decrypt first.

use super::tree::Scalar;

/// What is wrong with a value that Jasypt or Spring Cloud Config would decrypt: taken as it is, it would be a key or a
/// password that every reader of the document knows. `None` for any other.
pub fn encrypted(text: &str) -> Option<&'static str> {
    let text = text.trim();
    if text.starts_with("ENC(") && text.ends_with(')') {
        Some("`ENC(...)` is encrypted by Jasypt, and nothing is decrypted here")
    } else if text.starts_with("{cipher}") {
        Some("`{cipher}...` is encrypted by Spring Cloud Config, and nothing is decrypted here")
    } else {
        None
    }
}

/// The text of a value; the error is for its author.
pub(super) fn plain(scalar: &Scalar) -> Result<&str, String> {
    let text = scalar.text()?;
    match encrypted(text) {
        None => Ok(text),
        Some(kind) => Err(format!("{kind}; give the value itself, best by a `${{VARIABLE}}` of the environment")),
    }
}

#[cfg(test)]
mod tests {
    use crate::Documents;

    #[test]
    fn an_encrypted_value_of_ours_is_refused_wherever_it_is_read_and_never_shown() {
        let env = |name: &str| (name == "SECRET").then(|| "ENC(c2VjcmV0)".to_owned());
        for (text, kind) in [
            ("key: ENC(c2VjcmV0)", "Jasypt"),
            ("key: ' ENC(c2VjcmV0) '", "Jasypt"),
            ("key: '{cipher}c2VjcmV0'", "Spring Cloud Config"),
            ("key: ${SECRET}", "Jasypt"),
            ("key: ${OTHER:ENC(c2VjcmV0)}", "Jasypt"),
            ("key: [ENC(c2VjcmV0)]", "Jasypt"),
        ] {
            let documents = Documents::parse(&[("a.yaml", text)], &env).expect("well formed");
            let root = documents.root();
            if text.contains('[') {
                assert!(root.items("key")[0].required_text("a key").is_none());
            } else {
                assert_eq!(root.string("key"), None, "{text}");
            }
            let problems = documents.take_problems().to_string();
            assert!(problems.starts_with("a.yaml:1: key") && problems.contains(kind), "{problems}");
            assert!(problems.contains("`${VARIABLE}`") && !problems.contains("c2Vj"), "{problems}");
        }
        // A value that is not read may be anything; one that only looks encrypted is not.
        let documents =
            Documents::parse(&[("a.yaml", "x: ENC(a)\nkey: ENC(a) or so")], &|_| None).expect("well formed");
        assert_eq!(documents.root().string("key").as_deref(), Some("ENC(a) or so"));
        assert!(documents.take_problems().is_empty());
    }
}
