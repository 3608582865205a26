//! The server that `GRAY_TEST_NACOS` names, as an operator's console changes it, in whichever version it has. With authentication
//! on, as any 3.x, `GRAY_NACOS_USERNAME` and `GRAY_NACOS_PASSWORD` are to be those of an administrator.

use std::time::Duration;

use gray_nacos::{
    NacosOptions,
    dialect::{self, Answer, Dialect, LoginReading},
    http,
};
use reqwest::Method;

const LIMIT: Duration = Duration::from_secs(5);

/// The server under test, if there is one.
pub(crate) fn nacos() -> Option<NacosOptions> {
    let Ok(server) = std::env::var("GRAY_TEST_NACOS") else {
        eprintln!("skipped: set GRAY_TEST_NACOS=host:port to run this against a real Nacos");
        return None;
    };
    let mut options = NacosOptions::new(server);
    options.username = std::env::var("GRAY_NACOS_USERNAME").ok();
    options.password = std::env::var("GRAY_NACOS_PASSWORD").ok();
    Some(options)
}

/// Changes instances and documents of the built-in namespace.
pub(crate) struct Console {
    options: NacosOptions,
    server: http::Server,
    /// What it speaks.
    pub(crate) dialect: Dialect,
    token: Option<String>,
}

impl Console {
    /// Logs in, if there is a user.
    pub(crate) async fn of(options: &NacosOptions) -> Self {
        let server = options.servers().expect("a server").swap_remove(0);
        let dialect = http::dialect(options, &server, LIMIT).await.expect("an answer");
        let mut token = None;
        if let (Some(username), Some(password)) = (&options.username, &options.password) {
            let login = dialect::login(dialect.login_paths()[0], username, password);
            let (status, body) = http::put(options, &server, &login, None, LIMIT).await.expect("an answer");
            match dialect::read_login(dialect, Answer::new(status, &body)) {
                LoginReading::In(given) => token = Some(given.text),
                other => panic!("{other:?}"),
            }
        }
        Self { options: options.clone(), server, dialect, token }
    }

    /// Sends this, by its path in either version, and returns what the server says of it.
    pub(crate) async fn send(&self, method: Method, [v1, v3]: [&str; 2], fields: &[(&str, &str)]) -> String {
        let path = if self.dialect == Dialect::V1 { v1 } else { v3 };
        let request = http::requests().expect("a client").request(method, http::url(&self.options, &self.server, path));
        let request = self.token.iter().fold(request.query(fields), |request, token| request.bearer_auth(token));
        let (status, body) = http::send(&self.options, request, LIMIT).await.expect("an answer");
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(status.is_success(), "{status} {text}");
        match self.dialect {
            Dialect::V1 => text,
            Dialect::V3 => serde_json::from_str::<serde_json::Value>(&text).map_or(text, |json| match &json["data"] {
                serde_json::Value::String(data) => data.clone(),
                data => data.to_string(),
            }),
        }
    }
}
