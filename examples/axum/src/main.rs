//! order-app and user-app on axum, with an own `main`, router and client. What makes them part of a chain is a layer around the router
//! ([`ReleaseLayer`]) and a middleware around reqwest ([`GrayMiddleware`]); `LANES=off` leaves both away.

mod nacos;

use std::{env, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::get,
};
use gray_common::layer::ReleaseLayer;
use gray_reqwest::GrayMiddleware;
use nacos::Nacos;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// How long user-app may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One instance, and what its handlers call.
#[derive(Clone)]
struct App {
    version: Arc<str>,
    port: u16,
    nacos: Nacos,
    client: ClientWithMiddleware,
}

/// How user-app is called.
#[derive(serde::Deserialize)]
struct Way {
    via: Option<String>,
}

type Answer = Result<Json<Value>, (StatusCode, String)>;

fn answer(data: &Value) -> Json<Value> {
    Json(json!({ "code": 200, "msg": "成功！", "data": data, "success": true, "fail": false }))
}

async fn user(State(app): State<App>, Path(user): Path<String>) -> Json<Value> {
    answer(&json!(format!("{user} of axum - port={} - mateVersion={}", app.port, app.version)))
}

async fn order(State(app): State<App>, Path(order): Path<String>, Query(way): Query<Way>) -> Answer {
    let failed = |error: anyhow::Error| (StatusCode::BAD_GATEWAY, format!("{error:#}"));
    let calling = app.clone();
    let said = match way.via.as_deref().unwrap_or("reqwest") {
        "reqwest" => calling.user("U0001").await,
        // A plain `tokio::spawn` would lose the lane.
        "spawn" => match gray_common::spawn(async move { calling.user("U0001").await }).await {
            Ok(said) => said,
            Err(error) => Err(error.into()),
        },
        _ => return Err((StatusCode::BAD_REQUEST, "via is reqwest or spawn".to_owned())),
    };
    let user = said.map_err(failed)?;
    let own = json!({ "orderNo": order, "goodsName": "G0001", "userNo": "U0001", "port": app.port.to_string() });
    let more = json!({ "metaVersion": &*app.version, "stack": "axum", "userName": user });
    let fields = [own, more].into_iter().filter_map(|part| part.as_object().cloned()).flatten();
    Ok(answer(&Value::Object(fields.collect())))
}

impl App {
    /// What user-app says of a user. Which instance is asked is decided by the egress, if there is one.
    async fn user(&self, user: &str) -> Result<Value> {
        let address = self.nacos.instance("user-app").await?;
        let response = self.client.get(format!("http://{address}/user/{user}")).send().await?.error_for_status()?;
        let mut said: Value = response.json().await?;
        said.get_mut("data").map(Value::take).context("user-app says nothing")
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [role, version, port] = args.as_slice() else { bail!("usage: example-axum order|user VERSION PORT") };
    let is_plain = env::var("LANES").is_ok_and(|lanes| lanes == "off");
    // Reads HTTP_PROXY: the egress beside this service.
    let client = ClientBuilder::new(reqwest::Client::builder().timeout(TIMEOUT).build()?);
    let middleware = GrayMiddleware::new().caller(&format!("{role}-app"), Some(version));
    let client = if is_plain { client.build() } else { client.with(middleware).build() };
    let app = App { version: version.as_str().into(), port: port.parse()?, nacos: Nacos::from_env()?, client };
    let router = match role.as_str() {
        "order" => Router::new().route("/order/{order}", get(order)),
        "user" => Router::new().route("/user/{user}", get(user)),
        _ => bail!("{role} is not a service: order or user"),
    };
    let router = router.with_state(app.clone());
    let router = if is_plain { router } else { router.layer(ReleaseLayer::new()) };

    let listener = TcpListener::bind(("127.0.0.1", app.port)).await.context("cannot listen")?;
    let registered = app.nacos.register(&format!("{role}-app"), version, app.port).await?;
    let mut term = signal(SignalKind::terminate())?;
    let leave = async move {
        term.recv().await;
        registered.end().await;
    };
    axum::serve(listener, router).with_graceful_shutdown(leave).await?;
    Ok(())
}
