//! The names of all services of a group. Nacos does not push them, so they are asked for.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use gray_registry::{CallError, MAX_NAMES, ServiceNames};
use nacos_sdk::api::naming::NamingService;
use tokio::{sync::watch, time::sleep};

use super::{
    client::{Dialer, Wired},
    connection::Connection,
};

/// How often.
const INTERVAL: Duration = Duration::from_secs(5);
/// How often while there is no answer.
const RETRY: Duration = Duration::from_secs(1);
/// Names in one answer.
const PAGE: i32 = 500;

/// Publishes the names into `known`; never ends. A server that does not answer changes nothing.
pub(super) async fn follow(connection: Arc<Connection<Wired<NamingService>>>, known: watch::Sender<ServiceNames>) {
    let mut clients = connection.client();
    loop {
        let client = clients.borrow_and_update().clone();
        let read = match &client {
            Some(client) => all(connection.dialer(), &client.sdk).await,
            None => Err(CallError::Failed("not connected yet".into())),
        };
        let pause = match read {
            Ok(names) => {
                known.send_if_modified(|known| {
                    let is_news = known.as_deref() != Some(&names);
                    *known = Some(Arc::new(names));
                    is_news
                });
                INTERVAL
            }
            Err(failure) => {
                tracing::debug!(%failure, "the names of the services are not known");
                if client.is_some() {
                    connection.doubt();
                }
                RETRY
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            changed = clients.changed() => if changed.is_err() { return },
        }
    }
}

/// Page by page, until all have been seen or there are too many.
async fn all(dialer: &Dialer, client: &NamingService) -> Result<BTreeSet<Box<str>>, CallError> {
    let mut names = BTreeSet::new();
    for page in 1.. {
        let (client, group) = (client.clone(), Some(dialer.options().group.clone()));
        let call = async move { client.get_service_list(page, PAGE, group).await };
        let (listed, _) = dialer.call(dialer.options().read_timeout, call).await?;
        let count = listed.len();
        names.extend(listed.into_iter().map(Box::from));
        if count < PAGE as usize || names.len() >= MAX_NAMES {
            break;
        }
    }
    if names.len() > MAX_NAMES {
        tracing::warn!(MAX_NAMES, "the registry has more services; the others are not seen");
        names = names.into_iter().take(MAX_NAMES).collect();
    }
    Ok(names)
}
