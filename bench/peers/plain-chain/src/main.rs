//! A peer of the comparison: the demo's order-app and user-app without gray-common. Same routes, same answers, same
//! libraries, same runtime; what the real ones cost more is what the starter costs.

mod order;
mod user;

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use axum::{Router, serve::ListenerExt as _};
use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};

/// One of the two services, on 127.0.0.1.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    role: Role,
    /// Port to listen on
    #[arg(long, global = true, default_value_t = 0)]
    port: u16,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Answers GET /user/{userNo}
    User,
    /// Answers GET /order/{orderNo}, with what the user service says
    Order {
        /// Where the user service listens, HOST:PORT
        #[arg(long)]
        user: String,
    },
}

/// The envelope of both, as gray-common has it.
#[derive(Debug, Serialize, Deserialize)]
struct ApiResult<T> {
    code: u32,
    msg: String,
    data: Option<T>,
    success: bool,
    fail: bool,
}

impl<T> ApiResult<T> {
    fn success(data: T) -> Self {
        Self { code: 200, msg: "成功！".into(), data: Some(data), success: true, fail: false }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    match args.role {
        Role::User => serve(args.port, user::app(args.port)).await,
        Role::Order { user } => serve(args.port, order::app(args.port, user)?).await,
    }
}

async fn serve(port: u16, app: Router) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener =
        tokio::net::TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    // As the services have it; a failure only makes answers slower.
    let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
    Ok(axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?)
}
