//! Follows the file with the CAs of instances.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use gray_context::spawn;
use gray_tls::{Complaint, Trust};
use tokio::{task::spawn_blocking, time::sleep};

/// How often the file is read: a few kilobytes, off the request path.
const POLL: Duration = Duration::from_secs(1);

/// Reads the file again and again for as long as something goes by it, and logs it when it changes: new ones at once, a bad file
/// once.
pub(super) fn follow(trust: &Arc<Trust>) {
    if trust.path().is_some() {
        spawn(following(Arc::downgrade(trust)));
    }
}

async fn following(trust: Weak<Trust>) {
    let mut complaint = Complaint::default();
    loop {
        sleep(POLL).await;
        let Some(trust) = trust.upgrade() else { return };
        let file = trust.path().map(|path| path.display().to_string()).unwrap_or_default();
        // A network file system may take its time. It does not panic, and is not aborted.
        let Ok(outcome) = spawn_blocking(move || trust.reload()).await else { continue };
        let is_due = complaint.is_due(&outcome);
        match outcome {
            Err(error) if is_due => {
                tracing::warn!(%error, "the CAs of instances: not reloaded, the last good ones stay");
            }
            Ok(true) => tracing::info!(file, "the CAs of instances: reloaded, new connections use them"),
            _ => {}
        }
    }
}
