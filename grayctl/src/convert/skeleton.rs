//! The document with the choices: what stands here for what the documents leave to Java code. Each choice is the safe one until
//! an operator makes another.

use super::{
    input::Inputs,
    java::{Found, Role, guess},
    needs::{Needs, Place},
    report::shown,
};

/// What a fallback answers until it is written.
const BODY: &str = r#"{"code":503,"message":"temporarily unavailable"}"#;

/// Which release of Spring Cloud Gateway the application has, and how that is known.
pub(super) fn release(inputs: &Inputs) -> Option<(&'static str, String)> {
    for library in &inputs.libraries {
        let version = ["core", "server-webflux", "server-webmvc", "server"]
            .iter()
            .find_map(|part| library.strip_prefix(&format!("spring-cloud-gateway-{part}-")))
            .filter(|version| version.starts_with(|c: char| c.is_ascii_digit()));
        if let Some(major) = version.and_then(|version| version.split('.').next()) {
            let release = match major {
                "1" | "2" | "3" => "3.1",
                "4" => "4",
                _ => "5",
            };
            return Some((release, library.clone()));
        }
    }
    inputs.builds.iter().find_map(|(place, text)| {
        let lines = text.lines().filter(|line| line.contains("spring-cloud") || line.contains("springCloud"));
        lines.filter_map(of_train).next().map(|(release, train)| (release, format!("{train} in {place}")))
    })
}

/// By the name of the release train: `2023.0.1`, `Hoxton.SR12`.
fn of_train(line: &str) -> Option<(&'static str, String)> {
    line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).find_map(|word| {
        let mut parts = word.split('.');
        let (first, second) = (parts.next()?, parts.next()?);
        let release = match (first, second) {
            ("Finchley" | "Greenwich" | "Hoxton", _) | ("2020" | "2021", "0") => "3.1",
            ("2022" | "2023" | "2024" | "2025", "0") => "4",
            _ if first.len() == 4 && ("2025"..="2099").contains(&first) && second.len() == 1 => "5",
            _ => return None,
        };
        Some((release, word.to_owned()))
    })
}

/// The text of `gray-rules.yaml`; `None`: there is nothing to choose.
pub(super) fn render(
    name: &str,
    needs: &Needs,
    found: &[Found],
    release: Option<&(&'static str, String)>,
) -> Option<String> {
    if needs.all().next().is_none() && needs.access.is_empty() {
        return None;
    }
    let mut lines = vec![
        format!(
            "# What the documents of {} leave to Java code, and what stands for it here: gray.spring in docs/spring.md.",
            shown(name)
        ),
        "# Every choice is the safe one. Read each, and change it where another one is right.".to_owned(),
        "gray:".to_owned(),
        "  spring:".to_owned(),
    ];
    if let Some((release, why)) = release {
        lines.push(format!("    release: {release:<17}# {}", shown(why)));
    }
    let mut part = |key: &str, entries: Vec<[String; 2]>| {
        if !entries.is_empty() {
            lines.push(format!("    {key}:"));
        }
        for [comment, entry] in entries {
            lines.extend([format!("      # {comment}"), format!("      {entry}")]);
        }
    };
    let filters = needs.filters.iter().map(|(name, asked)| {
        let java = found.iter().find(|one| one.role == Role::FilterFactory && one.name == *name);
        let java = java.map_or_else(String::new, |one| format!("; {}", place(one)));
        let other = "or { use: JsonWebToken, args: { ... } }, or { drop: \"why it is not needed\" }";
        [format!("{}{java}", places(asked)), format!("{}: refuse  # {other}", key(name))]
    });
    part("filters", filters.collect());
    let resolvers = needs.resolvers.iter().map(|(bean, asked)| {
        let (counted, why) = guess(bean, found);
        [
            format!("{}; {}", places(asked), shown(&why)),
            format!("{}: {counted}  # or client, user, route, header.NAME", key(bean)),
        ]
    });
    part("keyResolvers", resolvers.collect());
    let schemes = needs.schemes.iter().map(|(scheme, asked)| [places(asked), format!("{}: lb", key(scheme))]);
    part("schemes", schemes.collect());
    let fallbacks = needs.forwards.iter().map(|(path, asked)| {
        let java = found.iter().find(|one| one.role == Role::Fallback && one.name == *path);
        let java = java.map_or_else(String::new, |one| format!("; {} answers it in Java", place(one)));
        [
            format!("{}{java}", places(asked)),
            format!("{}: {{ status: 503, contentType: application/json, body: '{BODY}' }}", key(path)),
        ]
    });
    part("fallbacks", fallbacks.collect());
    if !needs.access.is_empty() {
        let all: Vec<_> =
            needs.access.keys().map(|name| format!("{}: \"why\"", serde_json::Value::from(&**name))).collect();
        lines
            .push("    # Nothing here stands for these. Say why they can go, or the documents are refused:".to_owned());
        lines.push(format!("    acknowledge: {{}}  # such as {{ {} }}", all.join(", ")));
    }
    Some(lines.join("\n") + "\n")
}

/// A name as a key of YAML.
fn key(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        && !["true", "false", "yes", "no", "on", "off", "null", "y", "n"].contains(&&*name.to_ascii_lowercase());
    // A text of JSON is one of YAML.
    if is_plain { name.to_owned() } else { serde_json::Value::from(name).to_string() }
}

fn places(places: &[Place]) -> String {
    let first = places.first().map_or_else(String::new, |place| shown(&place.origin.to_string()));
    match places.len() {
        0 | 1 => first,
        count => format!("{first} and {} more", count - 1),
    }
}

fn place(found: &Found) -> String {
    let line = if found.line == 0 { String::new() } else { format!(":{}", found.line) };
    format!("{} ({}{line})", shown(&found.class), shown(&found.file))
}

#[cfg(test)]
mod tests {
    use gray_document::Documents;

    use super::*;

    #[test]
    fn releases_are_read_off_libraries_and_build_files() {
        for (library, expect) in [
            ("spring-cloud-gateway-server-4.1.5.jar", Some("4")),
            ("spring-cloud-gateway-core-2.2.9.RELEASE.jar", Some("3.1")),
            ("spring-cloud-gateway-server-webflux-5.0.0.jar", Some("5")),
            ("spring-cloud-gateway-dependencies.jar", None),
        ] {
            let inputs = Inputs { libraries: vec![library.into()], ..Inputs::default() };
            assert_eq!(release(&inputs).map(|(release, _)| release), expect, "{library}");
        }
        for (line, expect) in [
            ("<spring-cloud.version>2021.0.5</spring-cloud.version>", Some("3.1")),
            ("<spring-cloud.version>Hoxton.SR12</spring-cloud.version>", Some("3.1")),
            ("springCloudVersion = \"2023.0.1\"", Some("4")),
            ("mavenBom \"org.springframework.cloud:spring-cloud-dependencies:2025.0.0\"", Some("4")),
            ("<spring-cloud.version>2025.1.0</spring-cloud.version>", Some("5")),
            ("<spring-boot.version>3.2.1</spring-boot.version>", None),
        ] {
            let inputs = Inputs { builds: vec![("pom.xml".into(), line.into())], ..Inputs::default() };
            assert_eq!(release(&inputs).map(|(release, _)| release), expect, "{line}");
        }
    }

    #[test]
    fn names_of_any_kind_come_back_as_they_were() {
        let odd = ["Auth", "no", "a b", "x: y", "#{x}", "\"", "1", "/fallback/a", "é\n"];
        let text: String = odd.iter().enumerate().map(|(at, name)| format!("{}: v{at}\n", key(name))).collect();
        let documents =
            Documents::parse(&[("a.yaml", &text)], &|_| None).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let read: Vec<_> = documents.root().peek_keys().into_iter().map(|(name, _)| name).collect();
        assert_eq!(read.len(), odd.len(), "{read:?}");
    }

    #[test]
    fn every_choice_is_the_safe_one() {
        let text = "spring.cloud.gateway.routes:
  - { id: a, uri: 'grayLb://a', predicates: [ Path=/a ], filters: [ Auth, Auth ] }
  - { id: b, uri: 'forward:/fallback', predicates: [ Path=/b ],
      filters: [ { name: RequestRateLimiter, args: { key-resolver: '#{@userKeyResolver}' } } ] }";
        let documents = Documents::parse(&[("g.yaml", text)], &|_| None).expect("well formed");
        let mut needs = Needs::of(&documents);
        needs.access.insert("spring.security.x".into(), Vec::new());
        let skeleton = render("shop", &needs, &[], Some(&("4", "x.jar".into()))).expect("choices");
        let read = Documents::parse(&[("gray-rules.yaml", &skeleton)], &|_| None).expect("well formed");
        let spring = read.root().section("gray.spring");
        for (key, expect) in [
            ("release", "4"),
            ("filters.Auth", "refuse"),
            ("keyResolvers.userKeyResolver", "user"),
            ("schemes.grayLb", "lb"),
        ] {
            assert_eq!(spring.string(key).as_deref(), Some(expect), "{key}\n{skeleton}");
        }
        let fallback = spring.section("fallbacks").peek_keys();
        let (path, answer) = &fallback[0];
        assert_eq!((&**path, answer.section().string("body").as_deref()), ("/fallback", Some(BODY)), "{skeleton}");
        assert!(
            skeleton.contains("g.yaml:2 and 1 more")
                && skeleton.contains("acknowledge: {}  # such as { \"spring.security.x\": \"why\" }"),
            "{skeleton}"
        );
        assert_eq!(render("shop", &Needs::default(), &[], None), None);
    }
}
