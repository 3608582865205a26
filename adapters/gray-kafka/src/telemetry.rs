//! What is counted; both adapters use the same names. The label `queue` is the topic, `version` that of this process.

use std::sync::Arc;

use gray_core::lane::Verdict;
use metrics::{counter, describe_counter, describe_gauge, gauge};

const HANDLED: &str = "gray_messages_total";
const WRONG: &str = "gray_messages_wrong_total";
const DUPLICATE: &str = "gray_messages_duplicates_total";
const BAD_SIGNATURE: &str = "gray_messages_bad_signature_total";
const LAG: &str = "gray_messages_lag";

/// Tells the recorder what the metrics of messages mean.
pub fn describe() {
    describe_counter!(
        HANDLED,
        "Messages by outcome: handled, failed (an attempt), dead (given up), left (to the other group)"
    );
    describe_counter!(
        WRONG,
        "Messages of another version that this process has handled although one of that version was alive"
    );
    describe_counter!(DUPLICATE, "Messages that this process has handled before");
    describe_counter!(
        BAD_SIGNATURE,
        "Messages whose tag and lane count for nothing, by what is wrong with their signature"
    );
    describe_gauge!(LAG, "Messages that the group of this process has not acknowledged yet");
}

/// The labels of a consumer.
#[derive(Clone, Debug)]
pub(crate) struct Counters {
    pub(crate) queue: Arc<str>,
    pub(crate) version: Arc<str>,
}

impl Counters {
    pub(crate) fn handled(&self, outcome: &'static str) {
        counter!(HANDLED, "queue" => self.queue.clone(), "version" => self.version.clone(), "outcome" => outcome)
            .increment(1);
    }

    pub(crate) fn wrong(&self) {
        counter!(WRONG, "queue" => self.queue.clone(), "version" => self.version.clone()).increment(1);
    }

    pub(crate) fn duplicate(&self) {
        counter!(DUPLICATE, "queue" => self.queue.clone(), "version" => self.version.clone()).increment(1);
    }

    pub(crate) fn bad_signature(&self, verdict: Verdict) {
        let reason = match verdict {
            Verdict::Valid => return,
            Verdict::Unsigned => "unsigned",
            Verdict::Forged => "forged",
            Verdict::Expired => "expired",
        };
        counter!(BAD_SIGNATURE, "queue" => self.queue.clone(), "version" => self.version.clone(), "reason" => reason)
            .increment(1);
    }

    pub(crate) fn lag(&self, lag: i64) {
        gauge!(LAG, "queue" => self.queue.clone(), "version" => self.version.clone()).set(lag as f64);
    }
}
