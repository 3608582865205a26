//! What a key resolver counts by, as far as its text shows it.

use super::token::Token;

/// What stands for it in `gray.spring.keyResolvers`.
pub(super) fn of(body: &[(Token<'_>, u32)]) -> Option<String> {
    let words = || body.iter().filter_map(|(token, _)| if let Token::Word(word) = token { Some(*word) } else { None });
    let has = |names: &[&str]| words().any(|word| names.contains(&word));
    // The header by its name: getFirst("X-User"), header("X-User").
    let header = body.windows(3).find_map(|three| match three {
        [(Token::Word("getFirst" | "getHeader" | "header"), _), (Token::Sign('('), _), (Token::Text(name), _)] => {
            Some(*name)
        }
        _ => None,
    });
    if has(&["getHeaders", "headers"])
        && let Some(name) = header.filter(|name| is_name(name))
    {
        return Some(format!("header.{name}"));
    }
    if has(&["getRemoteAddress", "remoteAddress", "getHostAddress", "getHostName", "getHostString"]) {
        return Some("client".to_owned());
    }
    if has(&["getPrincipal", "Principal", "PrincipalNameKeyResolver"]) {
        return Some("user".to_owned());
    }
    if has(&["getPath", "getURI", "path", "uri"]) {
        return Some("route".to_owned());
    }
    None
}

/// The same by the name of the bean alone.
pub(super) fn of_name(bean: &str) -> Option<&'static str> {
    let words = words(bean);
    let has = |names: &[&str]| words.iter().any(|word| names.contains(&&**word));
    if has(&["user", "principal", "username", "userid", "account"]) {
        Some("user")
    } else if has(&["ip", "addr", "address", "host", "remote", "client", "hostname", "ipaddr", "hostaddr"]) {
        Some("client")
    } else if has(&["path", "uri", "url", "api", "route"]) {
        Some("route")
    } else {
        None
    }
}

/// `remoteAddrKeyResolver` as `remote`, `addr`, `key`, `resolver`.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = None;
    for c in name.chars().take(200) {
        let begins = c.is_uppercase() && before.is_some_and(char::is_lowercase);
        match words.last_mut() {
            _ if !c.is_alphanumeric() => words.push(String::new()),
            Some(word) if !begins => word.extend(c.to_lowercase()),
            _ => words.push(c.to_lowercase().collect()),
        }
        before = Some(c);
    }
    words
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::{super::token::tokens, *};

    #[test]
    fn the_body_tells_more_than_the_name() {
        for (body, expect) in [
            ("exchange -> Mono.just(exchange.getRequest().getRemoteAddress().getHostName())", Some("client")),
            ("Mono.just(exchange.getRequest().getHeaders().getFirst(\"X-User\"))", Some("header.X-User")),
            ("Mono.just(exchange.getRequest().getHeaders().getFirst(\"a b\"))", None),
            ("exchange.getPrincipal().map(Principal::getName)", Some("user")),
            ("Mono.just(exchange.getRequest().getPath().value())", Some("route")),
            ("Mono.just(exchange.getRequest().getQueryParams().getFirst(\"user\"))", None),
            ("compute(exchange)", None),
        ] {
            assert_eq!(of(&tokens(body)).as_deref(), expect, "{body}");
        }
    }

    #[test]
    fn names_are_read_word_by_word() {
        for (bean, expect) in [
            ("ipKeyResolver", Some("client")),
            ("remoteAddrKeyResolver", Some("client")),
            ("hostAddrKeyResolver", Some("client")),
            ("IPKeyResolver", None),
            ("userKeyResolver", Some("user")),
            ("principalNameKeyResolver", Some("user")),
            ("pathKeyResolver", Some("route")),
            ("apiKeyResolver", Some("route")),
            ("recipientResolver", None),
            ("", None),
        ] {
            assert_eq!(of_name(bean), expect, "{bean}");
        }
    }
}
