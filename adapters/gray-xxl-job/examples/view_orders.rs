//! A service with scheduled jobs: `viewOrders` asks order-app for some orders, which asks user-app for their users, and `viewUsers`
//! asks user-app through the typed client, both on the lane of the run. Baseline processes are executors of `jobs-app`, gray ones of `jobs-app-gray`.
//!
//! ```text
//! cargo run -p gray-xxl-job --example view_orders -- --service-version V2 --scheduler http://127.0.0.1:8080/xxl-job-admin
//! ```

use std::{net::SocketAddr, process::ExitCode};

use axum::Router;
use clap::Parser;
use gray_common::{
    client::GrayClient,
    service::{self, ServiceArgs},
};
use gray_xxl_job::{Executor, JobError, Run, StopLimits};
use tokio::sync::OnceCell;
use user_client::UserClient;

/// A service without routes of its own, and an executor of the jobs viewOrders and viewUsers
#[derive(Debug, Parser)]
struct Settings {
    /// Address of the scheduler; repeat it for several
    #[arg(long, env = "JOBS_SCHEDULER", value_delimiter = ',', required = true)]
    scheduler: Vec<String>,

    /// Access token, which the scheduler has as well; needed unless --jobs-bind is a loopback address
    #[arg(long, env = "JOBS_TOKEN", hide_env_values = true)]
    token: Option<String>,

    /// Where the scheduler is listened to
    #[arg(long, env = "JOBS_BIND", default_value = "127.0.0.1:9999")]
    jobs_bind: SocketAddr,

    /// host:port by which the scheduler reaches it
    #[arg(long, env = "JOBS_ADVERTISE")]
    jobs_advertise: Option<String>,

    /// What every service has.
    #[command(flatten)]
    service: ServiceArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    let settings = Settings::parse();
    let executor = OnceCell::new();
    let code = service::run("jobs-app", 7500, &settings.service, async |gray| {
        let orders = gray.client("order-app")?;
        let users = UserClient::new(gray.client(user_client::SERVICE)?);
        let mut builder = Executor::builder(gray.name())
            .version(gray.version())
            .bind(settings.jobs_bind)
            .rules(gray.jobs())
            .job("viewOrders", move |run| view_orders(orders.clone(), run))
            .job("viewUsers", move |run| view_users(users.clone(), run));
        builder = settings.scheduler.iter().fold(builder, |builder, address| builder.scheduler(address));
        builder = settings.token.iter().fold(builder, |builder, token| builder.token(token));
        builder = settings.jobs_advertise.iter().fold(builder, |builder, authority| builder.advertise(authority));
        executor.set(builder.start().await?)?;
        Ok(Router::new())
    })
    .await;
    if let Some(executor) = executor.into_inner() {
        executor.stop(StopLimits::default()).await;
    }
    code
}

/// The orders whose numbers the job has as parameters, `N0001,N0002`; those of this process's part.
async fn view_orders(orders: GrayClient, run: Run) -> Result<String, JobError> {
    let mut seen = Vec::new();
    for order_no in part(&run) {
        let answer = orders.get(format!("/order/{order_no}")).send().await?;
        let (status, body) = (answer.status(), answer.bytes().await?);
        let text = String::from_utf8_lossy(&body).into_owned();
        run.log(format_args!("{order_no}: {status} {text}"));
        if !status.is_success() {
            return Err(format!("order {order_no}: {status}").into());
        }
        seen.push(text);
    }
    Ok(seen.join("; "))
}

/// The users whose numbers the job has as parameters.
async fn view_users(users: UserClient, run: Run) -> Result<String, JobError> {
    let mut seen = Vec::new();
    for user_no in part(&run) {
        let user = users.user(user_no).await?;
        run.log(format_args!("{user_no}: {user}"));
        seen.push(user);
    }
    Ok(seen.join("; "))
}

/// The numbers in the parameters that belong to this part of a broadcast.
fn part(run: &Run) -> impl Iterator<Item = &str> {
    let (shard, numbers) = (run.shard(), run.params().split(',').map(str::trim));
    let numbers =
        numbers.filter(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    (0..).zip(numbers).filter(move |(place, _)| shard.has(*place)).map(|(_, number)| number)
}
