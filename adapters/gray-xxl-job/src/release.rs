//! The release context of a run, which its calls carry.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::{SystemTime, UNIX_EPOCH},
};

use gray_context::{JobRules, ReleaseContext};
use gray_core::Side;
use tokio::sync::watch;

/// The newest [`JobRules`]; `None` as long as there are none.
pub(crate) type Rules = watch::Receiver<Option<JobRules>>;

/// A run within its release context. The lane stays what it was when the run began; its signature is made anew while it runs, by
/// the keys of that moment, because a run may take longer than a signature holds.
pub(crate) struct InRelease<F> {
    run: Pin<Box<F>>,
    context: ReleaseContext,
    rules: Rules,
    /// Unix seconds.
    sign_at: u64,
}

impl<F: Future> InRelease<F> {
    pub(crate) fn new(run: F, side: Side, rules: Rules) -> Self {
        let context = rules.borrow().as_ref().map(|rules| rules.context(side)).unwrap_or_default();
        Self { run: Box::pin(run), context, rules, sign_at: 0 }
    }
}

impl<F: Future> Future for InRelease<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let now = unix_seconds();
        if now >= this.sign_at
            && let Some(rules) = this.rules.borrow().as_ref()
        {
            this.sign_at = rules.sign(&mut this.context, now);
        }
        this.context.clone().enter(|| this.run.as_mut().poll(cx))
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gray_context::{CallSigning, HttpHeaders, HttpHeadersMut, Standing, Verifier};
    use gray_core::{
        balance::{Fallback, VersionPolicy},
        lane::{SigningKey, SigningKeys},
        tag::GrayStatus,
    };
    use http::HeaderMap;

    use super::*;

    fn keys(secret: &[u8]) -> SigningKeys {
        SigningKeys::new(SigningKey::new(secret).expect("long enough"), [])
    }

    fn rules(keys: &SigningKeys, seconds: u64) -> JobRules {
        let mut rules = JobRules::new(VersionPolicy::new(true, "V1", "V2", Fallback::Prod));
        rules.signing = Some(CallSigning::new(keys.clone(), Duration::from_secs(seconds)));
        rules
    }

    #[tokio::test]
    async fn calls_are_signed_by_the_keys_of_the_moment() {
        let (old, new) = (keys(b"0123456789abcdef"), keys(b"fedcba9876543210"));
        let (sender, followed) = watch::channel(Some(rules(&old, 2)));
        let verified = |keys: &SigningKeys| {
            let mut headers = HeaderMap::new();
            ReleaseContext::current().inject(&mut HttpHeadersMut(&mut headers));
            let verifier = Verifier::new(keys, unix_seconds(), Duration::from_secs(2));
            ReleaseContext::extract_verified(&HttpHeaders(&headers), &verifier, || false)
        };
        let run = async {
            let first = verified(&old);
            sender.send_replace(Some(rules(&new, 2)));
            // Longer than a signature holds.
            tokio::time::sleep(Duration::from_millis(3500)).await;
            (first, verified(&old).1, verified(&new).1)
        };
        let ((context, standing), by_old, by_new) = InRelease::new(run, Side::Gray, followed).await;
        assert_eq!((context.tag, standing), (Some(GrayStatus::Gray), Standing::Signed));
        assert!(matches!(by_old, Standing::Rejected(_)), "{by_old:?}");
        assert_eq!(by_new, Standing::Signed);
        assert_eq!(ReleaseContext::current().tag, None, "outside of the run there is none");
    }
}
