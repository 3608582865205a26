//! On a real Kafka broker (KRaft), with consumers as processes, so that they can be killed. `make test-kafka` fetches the broker and runs
//! these; `GRAY_KAFKA_MESSAGES` says how many there are (10,000).

mod fleet;
mod server;
mod tests;
mod verdict;
