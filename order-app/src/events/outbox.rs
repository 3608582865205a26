//! Events on their way to a broker, the same for each.

use std::{fmt, future::Future, sync::Arc};

use tokio::sync::Semaphore;

/// Events that wait for the broker at the same time; more are not sent.
const MAX_WAITING: usize = 256;

/// Sends in the background.
#[derive(Clone, Debug)]
pub(super) struct Outbox(Arc<Semaphore>);

impl Default for Outbox {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_WAITING)))
    }
}

impl Outbox {
    /// Sends, unless too many wait. `sending` runs within the release context of the caller.
    pub(super) fn send<E: fmt::Display>(&self, sending: impl Future<Output = Result<(), E>> + Send + 'static) {
        let Ok(place) = Arc::clone(&self.0).try_acquire_owned() else {
            tracing::warn!("an event is not sent: {MAX_WAITING} others wait for the broker");
            return;
        };
        gray_common::spawn(async move {
            if let Err(error) = sending.await {
                tracing::warn!(%error, "an event was not sent for certain");
            }
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tokio::sync::{mpsc, watch};

    use super::*;

    #[tokio::test]
    async fn what_waits_is_bounded() {
        let (outbox, (release, held)) = (Outbox::default(), watch::channel(false));
        let (sent, mut sents) = mpsc::unbounded_channel();
        let send = |number: usize| {
            let (mut held, sent) = (held.clone(), sent.clone());
            outbox.send(async move {
                held.wait_for(|is_released| *is_released).await.expect("released");
                sent.send(number).expect("received");
                Ok::<_, Infallible>(())
            });
        };
        (0..=MAX_WAITING).for_each(send);
        release.send_replace(true);
        for _ in 0..MAX_WAITING {
            let number = sents.recv().await.expect("sent");
            assert!(number < MAX_WAITING, "one too many");
        }
        // The places are free again once all have ended.
        drop(outbox.0.acquire_many(u32::try_from(MAX_WAITING).expect("small")).await.expect("open"));
        send(MAX_WAITING + 1);
        assert_eq!(sents.recv().await, Some(MAX_WAITING + 1));
    }
}
