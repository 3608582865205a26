//! Annotations of sources: `@Bean("name")`, `@RequestMapping(path = {"/a", "/b"}, method = GET)`.

use super::{Annotation, token::Token};

/// Most texts of one annotation.
const MAX_TEXTS: usize = 32;
/// Members whose texts are names or paths.
const MEMBERS: [&str; 3] = ["value", "name", "path"];

/// Reads the annotation at an `@`; returns how many tokens it takes. `None`: there is none.
pub(super) fn read(tokens: &[(Token<'_>, u32)]) -> Option<(Annotation, usize)> {
    let mut at = 1;
    // Kotlin: `@field:Name`, `@get:Name`.
    if let (Some((Token::Word(_), _)), Some((Token::Sign(':'), _))) = (tokens.get(1), tokens.get(2)) {
        at = 3;
    }
    let mut name = None;
    while let Some((Token::Word(word), _)) = tokens.get(at) {
        name = Some(*word);
        at += 1;
        match tokens.get(at) {
            Some((Token::Sign('.'), _)) => at += 1,
            _ => break,
        }
    }
    // `@interface` declares one.
    let name = name.filter(|name| *name != "interface")?.to_owned();
    let mut texts = Vec::new();
    if !matches!(tokens.get(at), Some((Token::Sign('('), _))) {
        return Some((Annotation { name, texts }, at));
    }
    let (mut depth, mut counts) = (0_usize, true);
    for (position, (token, _)) in tokens.iter().enumerate().skip(at) {
        match token {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some((Annotation { name, texts }, position + 1));
                }
            }
            Token::Word(word) if depth == 1 && matches!(tokens.get(position + 1), Some((Token::Sign('='), _))) => {
                counts = MEMBERS.contains(word);
            }
            Token::Text(text) if counts && texts.len() < MAX_TEXTS => texts.push((*text).to_owned()),
            _ => {}
        }
    }
    Some((Annotation { name, texts }, tokens.len()))
}

#[cfg(test)]
mod tests {
    use super::{super::token::tokens, *};

    #[test]
    fn names_and_paths_are_kept() {
        for (source, name, texts, length) in [
            ("@Bean public", "Bean", &[][..], 2),
            ("@Bean(\"ip\") X", "Bean", &["ip"], 5),
            ("@Bean(name = \"ip\", destroyMethod = \"stop\")", "Bean", &["ip"], 11),
            ("@a.b.Order(-1) X", "Order", &[], 10),
            ("@RequestMapping(value = {\"/a\", \"/b\"}, produces = \"x\")", "RequestMapping", &["/a", "/b"], 15),
            ("@GetMapping(\"/a\"", "GetMapping", &["/a"], 4),
        ] {
            let tokens = tokens(source);
            let (annotation, taken) = read(&tokens).expect(source);
            assert_eq!((&*annotation.name, taken), (name, length), "{source}");
            assert_eq!(annotation.texts, texts, "{source}");
        }
        assert_eq!(read(&tokens("@interface X")), None);
        assert_eq!(read(&tokens("@")), None);
    }
}
