//! `grayctl rules check` of documents that say nothing.

use std::process::Command;

#[test]
fn a_document_without_rules_has_to_say_so() {
    let directory = tempfile::tempdir().expect("a directory");
    for (text, code, says) in [
        (&b""[..], 1, "there is no `gray` in it"),
        (b"# gray: {}\n", 1, "there is no `gray` in it"),
        (b"gray:\n", 1, "there is no `gray` in it"),
        (b"grey: { rules: [] }\n", 1, "there is no `gray` in it"),
        (b"gray: {}\n", 0, "in order"),
        ("gray: { rules: [] } # \u{fffd}".as_bytes(), 1, "U+FFFD"),
        (b"gray: \xba\xbc", 1, "UTF-8"),
    ] {
        let path = directory.path().join("gray-rules.yaml");
        std::fs::write(&path, text).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_grayctl"));
        let output = command.args(["rules", "check"]).arg(&path).env_remove("GRAY_PREFIX").output().expect("runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(output.status.code() == Some(code) && said.contains(says), "{text:?}: {}\n{said}", output.status);
    }
}
