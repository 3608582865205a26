//! Looks at the files again and again.

use std::{collections::BTreeMap, convert::Infallible, path::Path, sync::Arc, time::Duration};

use gray_tls::{Complaint, TlsError};
use tokio::sync::watch;

use super::{ServerTls, UpstreamTls};

const SERVER: &str = "the gateway's certificate";
const UPSTREAM: &str = "the CAs of instances";
/// How often the files are read: a few kilobytes, off the request path.
const POLL: Duration = Duration::from_secs(1);

/// What of the files is refused now, by what it is for.
pub type Refused = watch::Receiver<BTreeMap<&'static str, String>>;

/// Reloads what changes, for ever, and logs it: a new certificate at once, a bad file once. `asked` changes when a
/// caller wants to know now.
pub async fn follow(
    server: Option<Arc<ServerTls>>,
    upstream: Arc<UpstreamTls>,
    mut asked: watch::Receiver<u64>,
    refused: watch::Sender<BTreeMap<&'static str, String>>,
) -> Infallible {
    let (mut server_complaint, mut upstream_complaint) = (Complaint::default(), Complaint::default());
    if server.is_none() && upstream.path().is_none() {
        return std::future::pending().await;
    }
    loop {
        let is_asked = tokio::select! {
            () = tokio::time::sleep(POLL) => false,
            Ok(()) = asked.changed() => true,
        };
        let (ours, theirs) = (server.clone(), Arc::clone(&upstream));
        // A network file system may take its time.
        let looking = tokio::task::spawn_blocking(move || (ours.map(|tls| tls.reload()), theirs.reload()));
        // It does not panic, and is not aborted.
        let Ok((ours, theirs)) = looking.await else { continue };
        if let (Some(outcome), Some(tls)) = (ours, &server) {
            report(&outcome, SERVER, tls.path(), server_complaint.is_due(&outcome) || is_asked, is_asked);
            note(&refused, SERVER, &outcome, server_complaint.is_settled());
        }
        if let Some(path) = upstream.path() {
            report(&theirs, UPSTREAM, path, upstream_complaint.is_due(&theirs) || is_asked, is_asked);
            note(&refused, UPSTREAM, &theirs, upstream_complaint.is_settled());
        }
    }
}

fn report(outcome: &Result<bool, TlsError>, what: &str, file: &Path, complain: bool, is_asked: bool) {
    let file = file.display();
    match outcome {
        Err(error) if complain => tracing::warn!(%error, "{what}: not reloaded, the last good one stays"),
        Ok(true) => tracing::info!(%file, "{what}: reloaded, new connections use it"),
        Ok(false) if is_asked => tracing::info!(%file, "{what}: unchanged"),
        _ => {}
    }
}

/// Tells the others what is refused, once it is more than a moment between two files.
fn note(
    refused: &watch::Sender<BTreeMap<&'static str, String>>,
    what: &'static str,
    outcome: &Result<bool, TlsError>,
    is_settled: bool,
) {
    if outcome.is_err() && !is_settled {
        return;
    }
    let reason = outcome.as_ref().err().map(ToString::to_string);
    metrics::gauge!("gray_gateway_certificate_refused", "what" => what).set(if reason.is_some() { 1.0 } else { 0.0 });
    refused.send_if_modified(|known| match reason {
        Some(reason) if known.get(what) == Some(&reason) => false,
        Some(reason) => {
            known.insert(what, reason);
            true
        }
        None => known.remove(what).is_some(),
    });
}
