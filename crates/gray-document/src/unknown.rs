//! Values that are not known where documents are only checked: placeholders that nothing sets there.
//!
//! Each is told of once, where it is read, and stands as a text of its own; what readers have to say of that text is not said.

use super::{Documents, Origin, Purpose, Severity, trail::Trail, tree::Scalar};

/// What a value says that is not known.
const UNKNOWN: &str = "(not known here)";

impl Documents {
    /// What a value stands as that is not known here; `None` where it has to be known.
    pub(super) fn unknown(&self, scalar: &Scalar, origin: &Origin, path: &Trail) -> Option<&'static str> {
        let key = scalar.unset().filter(|_| self.purpose != Purpose::Run)?;
        let message = format!(
            "`${{{key}}}` has no value here; the gateway will not start without it: set it in its environment or in a document"
        );
        self.report_key(Severity::Warning, origin, path, &message);
        self.unknown.borrow_mut().insert(path.to_string());
        Some(UNKNOWN)
    }

    /// Whether this, or the text that it is a piece of, is a value that is not known.
    pub(super) fn is_unknown(&self, path: &Trail) -> bool {
        let unknown = self.unknown.borrow();
        !unknown.is_empty() && {
            let path = path.to_string();
            let whole =
                path.strip_suffix(']').and_then(|path| path.rsplit_once('[')).map_or(&*path, |(whole, _)| whole);
            unknown.contains(&*path) || unknown.contains(whole)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reading;

    fn read(text: &str, purpose: Purpose) -> Documents {
        let reading = Reading { purpose, ..Reading::default() };
        Documents::parse_for(&[("a.yaml", text)], &reading, &|_| None).expect("well formed")
    }

    fn problems(documents: &Documents) -> Vec<String> {
        documents.take_problems().iter().map(|problem| format!("{:?} {problem}", problem.severity)).collect()
    }

    #[test]
    fn a_value_that_is_not_known_is_told_of_once_and_not_judged() {
        let text = "a: ${x}\nb: http://${x.y}:80\nc: ${a}\nd: [1, '${x}']\ne: 1, ${x}\nunread: ${x}\nf: ${x:5}\n";
        let documents = read(text, Purpose::Check);
        let root = documents.root();
        for key in ["a", "a", "b", "c"] {
            assert_eq!(root.u64(key), None, "{key}");
            root.error(key, "needs a value");
        }
        root.items("d").iter().chain(&root.items("e")).for_each(|item| {
            let text = item.required_text("a number");
            item.error(format!("no number: {:?}", text.map(|_| item.path())));
        });
        assert_eq!(root.u64("f"), Some(5));
        let told = problems(&documents);
        let expect = |line: u32, path: &str, key: &str| {
            format!(
                "Warning a.yaml:{line}: {path}: `${{{key}}}` has no value here; the gateway will not start without it: set it \
                 in its environment or in a document"
            )
        };
        assert!(told.contains(&expect(1, "a", "x")) && told.contains(&expect(2, "b", "x.y")), "{told:#?}");
        assert!(told.contains(&expect(3, "c", "x")) && told.contains(&expect(4, "d[1]", "x")), "{told:#?}");
        assert!(told.contains(&expect(5, "e", "x")), "{told:#?}");
        let errors: Vec<_> = told.iter().filter(|problem| problem.starts_with("Error")).collect();
        assert_eq!(errors, ["Error a.yaml:4: d[0]: no number: Some(\"d[0]\")"]);
        assert_eq!(told.len(), 6, "each once: {told:#?}");
    }

    #[test]
    fn it_is_an_error_where_documents_are_run_by_and_so_is_what_can_never_have_a_value() {
        let documents = read("a: ${x}", Purpose::Run);
        assert_eq!(documents.root().string("a"), None);
        assert!(problems(&documents)[0].starts_with("Error a.yaml:1: a: nothing to put for `${x}`"));
        for text in ["a: ${a}", "a: '${x'", "a: ${b}\nb: {c: 1}"] {
            let documents = read(text, Purpose::Check);
            assert_eq!(documents.root().string("a"), None);
            assert!(problems(&documents)[0].starts_with("Error"), "{text}");
        }
    }

    #[test]
    fn profiles_that_parts_name_are_known_and_told_of_by_purpose() {
        let text = "a: 1\n---\nspring.profiles: dev, !prod & eu\na: 2\n---\nspring.config.activate.on-profile: 'us | (qa)'\na: 3\n";
        for (purpose, severity) in [(Purpose::Run, "Warning"), (Purpose::Check, "Note"), (Purpose::CheckAgain, "")] {
            let documents = read(text, purpose);
            assert_eq!(documents.profiles_named().collect::<Vec<_>>(), ["dev", "eu", "prod", "qa", "us"]);
            let problems = problems(&documents);
            assert_eq!(problems.len(), if severity.is_empty() { 0 } else { 2 }, "{problems:#?}");
            assert!(problems.iter().all(|problem| problem.starts_with(severity)), "{problems:#?}");
        }
    }
}
