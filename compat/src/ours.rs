//! Our gateway, whole, in this process.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clap::Parser as _;
use gray_document::Documents;
use gray_gateway::{app::Application, args::GatewayArgs, config::GatewayConfig};
use tempfile::TempDir;

use crate::wire;

/// Until it has to be ready, and to answer.
const LIMIT: Duration = Duration::from_secs(20);

/// A running gateway; it ends when dropped.
#[derive(Debug)]
pub struct Ours {
    application: Application,
    _directory: TempDir,
}

/// What is wrong with a document, in one line; nothing if it is taken.
pub fn refusal(document: &str) -> Option<String> {
    let read = |documents: &Documents| GatewayConfig::read(documents, "kerwin.tool.gray");
    let problems = gray_document::check(&[("gateway-app.yaml", document)], read).err()?;
    Some(problems.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" "))
}

impl Ours {
    /// A gateway with this document, ready.
    ///
    /// # Errors
    /// It does not get ready.
    pub async fn start(document: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        std::fs::write(directory.path().join("gateway-app.yaml"), document)?;
        let line = "gray-gateway --bind 127.0.0.1 --port 0 --admin-port 0 --workers 1 --config-dir".split(' ');
        let args = GatewayArgs::try_parse_from(line.chain(directory.path().to_str()))?;
        let application = Application::build(&args).await?;
        let admin = application.admin_address();
        let request = b"GET /readyz HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n";
        let ready = async {
            loop {
                let reply = wire::ask(admin, request, LIMIT).await?;
                if reply.starts_with(b"HTTP/1.1 200") {
                    return anyhow::Ok(());
                }
                ensure!(reply.starts_with(b"HTTP/1.1 503"), "/readyz: {}", String::from_utf8_lossy(&reply));
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(LIMIT, ready).await.context("our gateway does not get ready")??;
        Ok(Self { application, _directory: directory })
    }

    /// Where clients come in.
    pub fn address(&self) -> SocketAddr {
        self.application.address()
    }
}
