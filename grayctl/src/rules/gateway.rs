//! The admin side of a gateway.

use std::{fmt, str::FromStr, time::Duration};

use anyhow::{Context as _, Error, Result, anyhow, bail};
use clap::Args;
use reqwest::{Client, Method, StatusCode, Url, header::CONTENT_TYPE};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::text;
use crate::print::{complain, say};

/// A replay of a full buffer takes a moment.
const CALL: Duration = Duration::from_secs(60);

/// Which gateway, and how to be let in.
#[derive(Debug, Args)]
pub(super) struct GatewayArgs {
    /// Admin side of the gateway (its --admin-port): http://HOST:PORT or HOST:PORT.
    #[arg(long, env = "GRAY_GATEWAY_ADMIN", value_name = "URL", default_value = "http://127.0.0.1:7001")]
    gateway: AdminUrl,
    /// The gateway's --admin-token; better given in the environment than on the command line.
    #[arg(long, env = "GRAY_ADMIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// Print what the gateway says, as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// `http://HOST:PORT`; the scheme is optional.
#[derive(Clone, Debug)]
struct AdminUrl(Url);

impl FromStr for AdminUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "expected http://HOST:PORT or HOST:PORT of a gateway's admin side, such as 127.0.0.1:7001";
        let has_scheme = text.contains("://");
        let url = if has_scheme { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
        let url = url.map_err(|error| format!("{error}; {expected}"))?;
        let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        let fault = match url.scheme() {
            "http" if !url.has_host() => "there is no host",
            "http" if !plain || url.path() != "/" || url.fragment().is_some() => {
                "there is more in it than host and port"
            }
            "http" if !has_scheme && !has_port(text) => "there is no port",
            "http" => return Ok(Self(url)),
            "https" => "the admin side speaks plain HTTP",
            _ => "not an HTTP address",
        };
        Err(format!("{fault}; {expected}"))
    }
}

/// Also `:80`, which an address does not keep.
fn has_port(text: &str) -> bool {
    text.trim_end_matches('/').rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

impl fmt::Display for AdminUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// What is sent along.
pub(super) enum Body {
    Nothing,
    Json(Value),
    Document(String),
}

/// What the gateway answered.
pub(super) enum Answer<T> {
    /// What was asked for.
    Good(T),
    /// No; the reasons have been printed.
    Refused,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    problems: Vec<text::Problem>,
}

impl GatewayArgs {
    /// Asks; with --json the answer is printed as it came.
    pub(super) async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Body) -> Result<Answer<T>> {
        let http = Client::builder().no_proxy().timeout(CALL).connect_timeout(Duration::from_secs(3)).build()?;
        let request = http.request(method, format!("{}{path}", self.gateway));
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let request = match body {
            Body::Nothing => request,
            Body::Json(value) => request.json(&value),
            Body::Document(text) => request.header(CONTENT_TYPE, "application/yaml").body(text),
        };
        let place = &self.gateway;
        let answer = request.send().await.map_err(|error| {
            let error = Error::new(error);
            let cause = error.root_cause();
            anyhow!("no gateway answers at {place} ({cause}); --gateway names its admin side (--admin-port)")
        })?;
        let status = answer.status();
        let text = answer.text().await.with_context(|| format!("the answer of {place} broke off"))?;
        if status.is_success() {
            let value: Value =
                serde_json::from_str(&text).with_context(|| format!("{place} does not answer as a gateway does"))?;
            if self.json {
                say(format_args!("{value:#}"));
            }
            let answer = T::deserialize(value);
            return Ok(Answer::Good(answer.with_context(|| format!("{place} answers as another release does"))?));
        }
        let Ok(refusal) = serde_json::from_str::<Refusal>(&text) else {
            if status == StatusCode::NOT_FOUND {
                bail!("{place} knows no {path}: is it the admin side of a gateway of this release?");
            }
            bail!("{place} answered {status}: {}", text.trim());
        };
        match status {
            StatusCode::UNAUTHORIZED if self.token.is_some() => {
                bail!("{place} refuses the token: give the gateway's own with --token (GRAY_ADMIN_TOKEN)")
            }
            StatusCode::UNAUTHORIZED => bail!("{place} wants a token: give --token (GRAY_ADMIN_TOKEN)"),
            // Not about the question: the gateway has to be changed first.
            StatusCode::FORBIDDEN => bail!("{place}: {}", refusal.error),
            _ if self.json => say(format_args!("{}", text.trim())),
            _ => {
                complain(format_args!("{place}: {}", refusal.error));
                text::problems(&refusal.problems).into_iter().for_each(complain);
            }
        }
        Ok(Answer::Refused)
    }
}

#[cfg(test)]
mod tests {
    use super::AdminUrl;

    #[test]
    fn the_admin_side_is_named_by_a_url_or_host_and_port() {
        for (text, expect) in [
            ("127.0.0.1:7001", "http://127.0.0.1:7001"),
            ("http://127.0.0.1:7001", "http://127.0.0.1:7001"),
            ("http://gateway:7001/", "http://gateway:7001"),
            ("gateway:80", "http://gateway"),
            ("http://gateway", "http://gateway"),
            ("[::1]:7001", "http://[::1]:7001"),
        ] {
            assert_eq!(text.parse::<AdminUrl>().expect(text).to_string(), expect);
        }
        for (text, expect) in [
            ("gateway", "there is no port"),
            ("[::1]", "there is no port"),
            ("https://gateway:7001", "plain HTTP"),
            ("ftp://gateway:21", "not an HTTP address"),
            ("http://gateway:7001/explain", "more in it than host and port"),
            ("http://user@gateway:7001", "more in it than host and port"),
            ("http://http://gateway:7001", "more in it than host and port"),
            ("gateway:70000", "invalid port number"),
            ("", "empty host"),
            ("a b:1", "invalid"),
        ] {
            let error = text.parse::<AdminUrl>().expect_err(text);
            assert!(error.contains(expect) && error.contains("such as 127.0.0.1:7001"), "{text}: {error}");
        }
    }
}
