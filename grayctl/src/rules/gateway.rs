//! The admin side of a gateway.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use reqwest::{Client, Method, StatusCode, header::CONTENT_TYPE};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::text;
use crate::print::{complain, say};

/// A replay of a full buffer takes a moment.
const CALL: Duration = Duration::from_secs(60);

/// Which gateway, and how to be let in.
#[derive(Debug, Args)]
pub(super) struct GatewayArgs {
    /// Admin side of the gateway (its --admin-port).
    #[arg(long, env = "GRAY_GATEWAY_ADMIN", value_name = "HOST:PORT", default_value = "127.0.0.1:7001")]
    pub(super) gateway: String,
    /// The gateway's --admin-token; better given in the environment than on the command line.
    #[arg(long, env = "GRAY_ADMIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// Print what the gateway says, as JSON.
    #[arg(long)]
    pub(super) json: bool,
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
        let request = http.request(method, format!("http://{}{path}", self.gateway));
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
        let unreachable =
            || format!("no gateway answers at {place}; --gateway takes host:port of its admin side (--admin-port)");
        let answer = request.send().await.with_context(unreachable)?;
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
            // Not about the question: somebody has to change the gateway first.
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
