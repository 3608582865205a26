//! Switched off, every version serves, whatever the request says.

use std::sync::Arc;

use anyhow::Result;
use e2e_tests::{Chain, Setup, Stage};

const GRAY: [(&str, &str); 1] = [("gray", "gray-996")];

pub(crate) async fn services_off(stage: Arc<Stage>) -> Result<()> {
    let chain = Chain::start(stage.nacos().await?, Setup::new()?.with("load", "false")?).await?;
    everybody_serves(&chain).await
}

pub(crate) async fn gateway_off(stage: Arc<Stage>) -> Result<()> {
    let chain = Chain::start(stage.nacos().await?, Setup::new()?.with("enabled", "false")?).await?;
    everybody_serves(&chain).await
}

async fn everybody_serves(chain: &Chain) -> Result<()> {
    chain.settles_on_all(&[]).await?;
    for headers in [&[][..], &GRAY, &[("gray", "GRAY")], &[("gray", "PROD")]] {
        chain.orders(headers).await?.all_four()?;
    }
    Ok(())
}
