//! A topic that a program makes where it is missing.

use std::time::Duration;

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::KafkaResult,
    types::RDKafkaErrorCode,
};
use tokio::time::sleep;

/// How long the broker may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pauses between attempts: the first, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(10)];
/// As many copies as the broker is configured for.
const REPLICATION: TopicReplication<'static> = TopicReplication::Fixed(-1);

/// Makes a topic, unless it is there. Waits for a broker that is away, and tries again where it refuses: run it beside what
/// uses the topic.
///
/// # Errors
/// When librdkafka does not take its configuration.
pub async fn declare(kafka: &ClientConfig, topic: &str, partitions: i32) -> KafkaResult<()> {
    let admin: AdminClient<DefaultClientContext> = kafka.create()?;
    let options = AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
    let (mut failures, mut wait) = (0_u32, PAUSES[0]);
    loop {
        let answer = admin.create_topics([&NewTopic::new(topic, partitions, REPLICATION)], &options).await;
        let reason = match answer.map(|results| results.into_iter().next()) {
            Ok(Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists)) | Ok(_)) | None) => return Ok(()),
            Ok(Some(Err((_, code)))) => code.to_string(),
            Err(error) => error.to_string(),
        };
        failures += 1;
        if failures.is_power_of_two() {
            tracing::warn!(topic, reason, failures, "the topic could not be made; it is tried again");
        }
        sleep(wait).await;
        wait = (wait * 2).min(PAUSES[1]);
    }
}
