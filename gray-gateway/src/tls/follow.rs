//! Looks at the files again and again.

use std::{convert::Infallible, path::Path, sync::Arc, time::Duration};

use gray_common::certificates::TlsError;

use super::{ServerTls, UpstreamTls};

/// How often the files are read: a few kilobytes, off the request path.
const POLL: Duration = Duration::from_secs(1);

/// Reloads what changes, for ever, and logs it: a new certificate at once, a bad file once.
pub async fn follow(server: Option<Arc<ServerTls>>, upstream: Arc<UpstreamTls>) -> Infallible {
    let (mut server_complaint, mut upstream_complaint) = (Complaint::default(), Complaint::default());
    if server.is_none() && upstream.path().is_none() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(POLL).await;
        let (ours, theirs) = (server.clone(), Arc::clone(&upstream));
        // A network file system may take its time.
        let looking = tokio::task::spawn_blocking(move || (ours.map(|tls| tls.reload()), theirs.reload()));
        // It does not panic, and nobody aborts it.
        let Ok((ours, theirs)) = looking.await else { continue };
        if let (Some(outcome), Some(tls)) = (ours, &server) {
            report(&outcome, "the gateway's certificate", tls.path(), &mut server_complaint);
        }
        if let Some(path) = upstream.path() {
            report(&theirs, "the CAs of instances", path, &mut upstream_complaint);
        }
    }
}

fn report(outcome: &Result<bool, TlsError>, what: &str, file: &Path, complaint: &mut Complaint) {
    if complaint.is_due(outcome)
        && let Err(error) = outcome
    {
        tracing::warn!(%error, "{what}: not reloaded, the last good one stays");
    }
    if let Ok(true) = outcome {
        tracing::info!(file = %file.display(), "{what}: reloaded, new connections use it");
    }
}

/// Complains once about each problem, and only when it is there twice in a row: while somebody replaces certificate
/// and key one after the other, they do not fit for a moment.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    problem: String,
    seen: u32,
}

impl Complaint {
    pub(super) fn is_due(&mut self, outcome: &Result<bool, TlsError>) -> bool {
        let problem = outcome.as_ref().err().map(ToString::to_string).unwrap_or_default();
        if problem.is_empty() {
            *self = Self::default();
            return false;
        }
        if problem != self.problem {
            *self = Self { problem, seen: 0 };
        }
        self.seen = self.seen.saturating_add(1);
        self.seen == 2
    }
}
