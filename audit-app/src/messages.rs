//! From the broker into the audit, the same for each broker. Without one, nothing is consumed.

#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "rabbitmq")]
mod rabbitmq;

use std::{fmt, future::Future, pin::Pin};

use gray_common::{
    ReleaseContext,
    service::{BoxError, GrayService},
};
use gray_core::message::{ConsumerState, Phase};
use tokio::sync::watch;

use crate::{
    audit::{Audit, Audits},
    settings::Settings,
};

/// What is consumed, as things are. By default: nothing, no broker is named.
#[derive(Clone, Debug, Default)]
pub struct Consuming {
    state: Option<watch::Receiver<ConsumerState>>,
    phase: Option<watch::Receiver<Option<Phase>>>,
}

impl Consuming {
    /// In one word.
    pub fn as_str(&self) -> &'static str {
        self.state.as_ref().map_or("off", |state| state.borrow().as_str())
    }

    /// The state of the topic, on Kafka.
    pub fn phase(&self) -> Option<&'static str> {
        Some((*self.phase.as_ref()?.borrow())?.as_str())
    }
}

/// A consumer at work, of one of the brokers.
#[derive(Default)]
pub struct Consumer {
    /// What it does.
    pub consuming: Consuming,
    stop: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Consumer {
    /// Consumes what order-app tells, until it is stopped; nothing where no broker is named.
    ///
    /// # Errors
    /// When the client of the broker does not take its settings.
    #[cfg_attr(
        not(any(feature = "kafka", feature = "rabbitmq")),
        expect(unused_variables, reason = "built without a broker")
    )]
    pub fn start(settings: &Settings, gray: &GrayService, audits: &Audits) -> Result<Self, BoxError> {
        #[cfg(feature = "kafka")]
        if let Some(consumer) = kafka::consume(settings, gray, audits)? {
            return Ok(consumer);
        }
        #[cfg(feature = "rabbitmq")]
        if let Some(consumer) = rabbitmq::consume(settings, gray, audits)? {
            return Ok(consumer);
        }
        Ok(Self::default())
    }

    /// Takes no more messages, finishes those in hand, and ends.
    pub async fn stop(self) {
        if let Some(stop) = self.stop {
            stop.await;
        }
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("consuming", &self.consuming).finish_non_exhaustive()
    }
}

/// Keeps one message. A body that is not an order's number is never handled: after some attempts the broker's client gives it up.
///
/// # Errors
/// When the message cannot be understood.
pub fn handle(audits: &Audits, id: Option<String>, payload: &[u8]) -> Result<(), BoxError> {
    let id = id.ok_or("a message without an ID")?;
    let order_no = str::from_utf8(payload)?;
    if order_no.is_empty() || order_no.len() > 64 || !order_no.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err("not the number of an order: expected 1 to 64 letters and digits".into());
    }
    // The handler runs within the context of the message: what it called now would go where the message belongs.
    let gray = ReleaseContext::current().tag.map(|tag| tag.as_str());
    audits.keep(Audit { id, order_no: order_no.to_owned(), gray });
    Ok(())
}

#[cfg(test)]
mod tests {
    use gray_common::GrayStatus;

    use super::*;

    #[test]
    fn a_message_is_kept_with_its_tag_or_refused() {
        let audits = Audits::default();
        let gray = ReleaseContext::tagged(Some(GrayStatus::Gray));
        gray.enter(|| handle(&audits, Some("orders/0/7".into()), b"N0001")).expect("kept");
        let kept = Audit { id: "orders/0/7".into(), order_no: "N0001".into(), gray: Some("GRAY") };
        assert_eq!(audits.list(), std::slice::from_ref(&kept));
        let long = [b'N'; 65];
        for (id, payload) in
            [(None, &b"N0001"[..]), (Some("a"), b""), (Some("a"), b"N 1"), (Some("a"), b"\xff"), (Some("a"), &long)]
        {
            assert!(handle(&audits, id.map(str::to_owned), payload).is_err(), "{id:?} {payload:?}");
        }
        assert_eq!(audits.list(), [kept]);
        assert_eq!((Consuming::default().as_str(), Consuming::default().phase()), ("off", None));
    }
}
