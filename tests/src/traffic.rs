//! Constant traffic beside a test, and the account of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use tokio::task::JoinHandle;

use crate::{Http, Seen, eventually};

/// Pause between two requests of one sender.
const PACE: Duration = Duration::from_millis(5);

/// Requests that go on until [`stop`](Self::stop).
#[derive(Debug)]
pub struct Traffic {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    sender: JoinHandle<Account>,
}

/// What became of the requests.
#[derive(Debug, Default)]
pub struct Account {
    /// Requests sent.
    pub sent: usize,
    /// Which versions answered.
    pub seen: Seen,
    /// What failed.
    pub failures: Vec<String>,
}

impl Traffic {
    /// Starts sending requests for an order, with these headers.
    pub fn start(gateway: &str, headers: &[(&str, &str)]) -> Result<Self> {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let headers: Vec<(String, String)> =
            headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let (http, gateway) = (Http::new()?, gateway.to_owned());
        let (told, count) = (Arc::clone(&stop), Arc::clone(&sent));
        let sender = tokio::spawn(async move {
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let mut account = Account::default();
            while !told.load(Ordering::Relaxed) {
                match http.order(&gateway, &headers).await {
                    Ok(chain) => account.seen.add(chain),
                    Err(error) => account.failures.push(format!("request {}: {error:#}", account.sent)),
                }
                account.sent = count.fetch_add(1, Ordering::Relaxed) + 1;
                tokio::time::sleep(PACE).await;
            }
            account
        });
        Ok(Self { stop, sent, sender })
    }

    /// Waits until `count` more requests have been sent.
    pub async fn more(&self, count: usize) -> Result<()> {
        let goal = self.sent.load(Ordering::Relaxed) + count;
        eventually("traffic goes on", || async {
            let sent = self.sent.load(Ordering::Relaxed);
            ensure!(sent >= goal, "{sent} of {goal} sent");
            Ok(())
        })
        .await
    }

    /// Ends it; the account fails when a request failed.
    pub async fn stop(self) -> Result<Account> {
        self.more(20).await?;
        self.stop.store(true, Ordering::Relaxed);
        let account = self.sender.await?;
        ensure!(
            account.failures.is_empty(),
            "{} of {} requests failed: {:#?}",
            account.failures.len(),
            account.sent,
            &account.failures[..account.failures.len().min(5)]
        );
        Ok(account)
    }
}
