//! Classes in the text of a .java or .kt file: declarations, what they extend, and methods with annotations that tell something.

use super::{
    Annotation, Class, MAPPINGS, Method, annotation, hint,
    role::TELLING,
    token::{Token, tokens},
};

/// Most classes of one file.
const MAX_CLASSES: usize = 200;
/// How far the text of a method is looked at, in tokens.
const MAX_BODY: usize = 2_000;
/// How far what a Kotlin method without braces is looked at.
const EXPRESSION: usize = 60;
const DECLARES: [&str; 5] = ["class", "interface", "record", "object", "enum"];

/// Reads a file; what is not understood is passed over.
pub(in crate::convert) fn parse(text: &str, file: &str) -> Vec<Class> {
    let tokens = tokens(text);
    let mut reading =
        Reading { tokens: &tokens, file, package: String::new(), classes: Vec::new(), open: Vec::new(), depth: 0 };
    reading.read();
    let mut classes = reading.classes;
    if let Some(first) = classes.first_mut() {
        let words =
            tokens.iter().filter_map(|(token, _)| if let Token::Word(word) = token { Some(*word) } else { None });
        first.mentions = words.filter(|word| TELLING.contains(word)).map(str::to_owned).collect();
        first.mentions.sort_unstable();
        first.mentions.dedup();
    }
    classes
}

struct Reading<'t> {
    tokens: &'t [(Token<'t>, u32)],
    file: &'t str,
    package: String,
    classes: Vec<Class>,
    /// The classes around, by place; the depth of their body, and where it begins.
    open: Vec<(usize, usize, usize)>,
    depth: usize,
}

impl<'t> Reading<'t> {
    fn token(&self, at: usize) -> Option<Token<'t>> {
        self.tokens.get(at).map(|(token, _)| *token)
    }

    fn word(&self, at: usize) -> Option<&'t str> {
        if let Some(Token::Word(word)) = self.token(at) { Some(word) } else { None }
    }

    fn is(&self, at: usize, sign: char) -> bool {
        self.token(at) == Some(Token::Sign(sign))
    }

    fn read(&mut self) {
        let (mut at, mut pending) = (0, Vec::new());
        while let Some(token) = self.token(at) {
            match token {
                Token::Sign('@') => {
                    if let Some((annotation, taken)) = annotation::read(&self.tokens[at..]) {
                        pending.push(annotation);
                        at += taken.max(1);
                        continue;
                    }
                }
                Token::Word("package") if self.classes.is_empty() && self.package.is_empty() => {
                    at = self.package(at + 1);
                    continue;
                }
                Token::Word(word) if DECLARES.contains(&word) && self.declares(at) => {
                    at = self.class(at, std::mem::take(&mut pending));
                    continue;
                }
                Token::Sign('(') if is_telling(&pending) && self.is_in_body() => {
                    self.method(at, std::mem::take(&mut pending));
                }
                Token::Sign('{') => {
                    self.depth += 1;
                    pending.clear();
                }
                Token::Sign('}') => {
                    self.close(at);
                    pending.clear();
                }
                Token::Sign(';') => pending.clear(),
                _ => {}
            }
            at += 1;
        }
    }

    fn package(&mut self, mut at: usize) -> usize {
        while let Some(word) = self.word(at) {
            self.package.push_str(word);
            at += 1;
            if !self.is(at, '.') {
                break;
            }
            self.package.push('.');
            at += 1;
        }
        at
    }

    /// `class X`, and not `X.class`, `X::class` or a variable of that name.
    fn declares(&self, at: usize) -> bool {
        let after = at.checked_sub(1).and_then(|before| self.token(before));
        self.word(at + 1).is_some_and(|next| !DECLARES.contains(&next))
            && !matches!(after, Some(Token::Sign('.' | ':' | '(' | ',')))
            && self.classes.len() < MAX_CLASSES
    }

    /// Reads the head of a class; returns where its body begins.
    fn class(&mut self, keyword: usize, annotations: Vec<Annotation>) -> usize {
        let simple = self.word(keyword + 1).unwrap_or_default();
        let outer = self.open.last().and_then(|(place, ..)| self.classes.get(*place)).map(|class| class.name.clone());
        let name = match (outer, &*self.package) {
            (Some(outer), _) => format!("{outer}.{simple}"),
            (None, "") => simple.to_owned(),
            (None, package) => format!("{package}.{simple}"),
        };
        let line = self.tokens[keyword].1;
        let mut class = Class { name, file: self.file.to_owned(), line, annotations, ..Class::default() };
        let (mut at, mut angles, mut parens, mut counts) = (keyword + 2, 0_usize, 0_usize, false);
        while let Some(token) = self.token(at) {
            match token {
                Token::Sign('{') if parens == 0 => {
                    self.depth += 1;
                    self.open.push((self.classes.len(), self.depth, at));
                    at += 1;
                    break;
                }
                Token::Sign(';' | '@' | '}') if parens == 0 => break,
                Token::Word("fun" | "class" | "interface" | "object") if parens == 0 => break,
                Token::Sign('(') => parens += 1,
                Token::Sign(')') => parens = parens.saturating_sub(1),
                Token::Sign('<') => angles += 1,
                Token::Sign('>') => angles = angles.saturating_sub(1),
                _ if angles > 0 || parens > 0 => {}
                Token::Word("extends" | "implements") | Token::Sign(':') => counts = true,
                Token::Word("permits" | "where") => counts = false,
                // The last part of a name with its package.
                Token::Word(word) if counts && self.is(at - 1, '.') => {
                    class.supertypes.pop();
                    class.supertypes.push(word.to_owned());
                }
                Token::Word(word) if counts && class.supertypes.len() < 64 => class.supertypes.push(word.to_owned()),
                _ => {}
            }
            at += 1;
        }
        self.classes.push(class);
        at
    }

    fn close(&mut self, at: usize) {
        if let Some(&(place, depth, from)) = self.open.last()
            && depth == self.depth
        {
            self.open.pop();
            let body = &self.tokens[from..at.min(from + MAX_BODY)];
            if let Some(class) =
                self.classes.get_mut(place).filter(|class| class.supertypes.iter().any(|one| one == "KeyResolver"))
            {
                class.hint = hint::of(body);
            }
        }
        self.depth = self.depth.saturating_sub(1);
    }

    fn is_in_body(&self) -> bool {
        self.open.last().is_some_and(|(_, depth, _)| *depth == self.depth)
    }

    /// A method with annotations, at the parenthesis of its parameters.
    fn method(&mut self, open: usize, annotations: Vec<Annotation>) {
        let Some(name) = open.checked_sub(1).and_then(|at| self.word(at)) else { return };
        let after = self.closing(open, '(', ')') + 1;
        let is_kotlin = open.checked_sub(2).and_then(|at| self.word(at)) == Some("fun");
        let returns = if is_kotlin { self.type_after(after) } else { self.type_before(open - 1) };
        let body = self.body(after);
        let method = Method {
            name: name.to_owned(),
            returns: returns.unwrap_or_default().to_owned(),
            line: self.tokens[open].1,
            annotations,
            hint: hint::of(body),
        };
        if let Some(class) = self.open.last().and_then(|(place, ..)| self.classes.get_mut(*place)) {
            class.methods.push(method);
        }
    }

    /// Where what opens at `open` closes.
    fn closing(&self, open: usize, opens: char, closes: char) -> usize {
        let mut depth = 0_usize;
        for (at, (token, _)) in self.tokens.iter().enumerate().skip(open) {
            match token {
                Token::Sign(sign) if *sign == opens => depth += 1,
                Token::Sign(sign) if *sign == closes => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return at;
                    }
                }
                _ => {}
            }
        }
        self.tokens.len()
    }

    /// Java: the type stands before the name.
    fn type_before(&self, name: usize) -> Option<&'t str> {
        let mut at = name.checked_sub(1)?;
        let mut angles = 0_usize;
        loop {
            match self.token(at)? {
                Token::Sign('>') => angles += 1,
                Token::Sign('<') => angles = angles.saturating_sub(1),
                Token::Word(word) if angles == 0 => return Some(word),
                Token::Sign('{' | '}' | ';' | ')') => return None,
                _ => {}
            }
            at = at.checked_sub(1)?;
        }
    }

    /// Kotlin: it stands behind the parameters, or is what the expression begins with.
    fn type_after(&self, mut at: usize) -> Option<&'t str> {
        if !self.is(at, ':') && !self.is(at, '=') {
            return None;
        }
        at += 1;
        let mut name = self.word(at)?;
        while self.is(at + 1, '.')
            && let Some(next) = self.word(at + 2)
        {
            (name, at) = (next, at + 2);
        }
        Some(name)
    }

    fn body(&self, from: usize) -> &'t [(Token<'t>, u32)] {
        let ends = |at: &usize| self.is(*at, '{') || self.is(*at, ';');
        let end = match (from..self.tokens.len().min(from + EXPRESSION)).find(ends) {
            Some(at) if self.is(at, '{') => self.closing(at, '{', '}'),
            Some(at) => at,
            None => from + EXPRESSION,
        };
        let end = end.min(from + MAX_BODY).min(self.tokens.len());
        self.tokens.get(from..end).unwrap_or_default()
    }
}

/// Whether a method with these annotations makes a bean or answers requests.
fn is_telling(annotations: &[Annotation]) -> bool {
    annotations.iter().any(|one| one.name == "Bean" || MAPPINGS.contains(&&*one.name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn supertypes(text: &str) -> Vec<(String, Vec<String>)> {
        parse(text, "A.java").into_iter().map(|class| (class.name, class.supertypes)).collect()
    }

    #[test]
    fn classes_and_what_they_extend() {
        for (text, expect) in [
            ("package a.b;\npublic class X implements GlobalFilter, Ordered { }", "a.b.X: GlobalFilter Ordered"),
            (
                "class X extends AbstractGatewayFilterFactory<X.Config> { class Config { } }",
                "X: AbstractGatewayFilterFactory; X.Config: ",
            ),
            ("class X<T extends Y> implements org.s.WebFilter {}", "X: WebFilter"),
            ("record R(@A(\"x\") int a) implements WebFilter { }", "R: WebFilter"),
            ("package a\nclass K(private val b: B) : GlobalFilter, Ordered {\n}", "a.K: GlobalFilter Ordered"),
            ("class A : Base()\n@Component\nclass B : WebFilter", "A: Base; B: WebFilter"),
            (
                "class A { Class<?> c = B.class; Object o = new GlobalFilter() { }; } interface I extends J {}",
                "A: ; I: J",
            ),
            ("// class No extends GlobalFilter {}\nclass Y { String s = \"class Z {\"; }", "Y: "),
            ("sealed interface S permits T, U { }", "S: "),
            ("enum class E { A } companion object { } enum F { B }", "E: ; F: "),
        ] {
            let found: Vec<_> =
                supertypes(text).into_iter().map(|(name, types)| format!("{name}: {}", types.join(" "))).collect();
            assert_eq!(found.join("; "), expect, "{text}");
        }
    }

    #[test]
    fn beans_with_their_type_line_and_hint() {
        let text = "@Configuration
public class Config {
    @Autowired private Other other;
    @Bean
    public KeyResolver ipKeyResolver() {
        return exchange -> Mono.just(exchange.getRequest().getRemoteAddress().getHostName());
    }
    @Bean(\"limits\") @Primary KeyResolver second() { return null; }
    @Bean Mono<Map<String, X>> third() { return null; }
    public RouteLocator none() { return null; }
    @Bean
    public RouteLocator routes(RouteLocatorBuilder builder) { return builder.routes().build(); }
}";
        let classes = parse(text, "Config.java");
        let found: Vec<_> = classes[0]
            .methods
            .iter()
            .map(|method| (method.bean().unwrap_or("-"), &*method.returns, method.line, method.hint.as_deref()))
            .collect();
        assert_eq!(
            found,
            [
                ("ipKeyResolver", "KeyResolver", 5, Some("client")),
                ("limits", "KeyResolver", 8, None),
                ("third", "Mono", 9, None),
                ("routes", "RouteLocator", 12, None),
            ]
        );
        let kotlin = "class C {\n  @Bean fun a(b: B): x.KeyResolver = KeyResolver { it.request.headers.getFirst(\"X-Id\") }\n  @Bean fun c() = CorsWebFilter(s)\n}";
        let classes = parse(kotlin, "C.kt");
        let found: Vec<_> = classes[0].methods.iter().map(|one| (&*one.returns, one.hint.as_deref())).collect();
        assert_eq!(found, [("KeyResolver", Some("header.X-Id")), ("CorsWebFilter", None)]);
    }

    #[test]
    fn controllers_with_their_paths() {
        let text = "@RestController @RequestMapping(\"/fallback\")
class F {
  @GetMapping(\"/orders\") Mono<String> orders() { return null; }
  @RequestMapping(value = {\"/a\", \"b\"}) String both() { return null; }
  @PostMapping String all() { return null; }
}
class G { @GetMapping(\"/x\") String x() { return null; } }";
        let classes = parse(text, "F.java");
        let paths: Vec<_> = classes.iter().flat_map(super::super::mappings).map(|(path, _)| path).collect();
        assert_eq!(paths, ["/fallback/orders", "/fallback/a", "/fallback/b", "/fallback"]);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(class|@Bean|fun|extends|record|package|[a-z]|[(){}<>;:.,@=\"'\n ]){0,80}") {
            parse(&text, "x");
        }
    }
}
