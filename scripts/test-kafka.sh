#!/usr/bin/env bash
# The tests of adapters/gray-kafka, and order-app with audit-app, on a real Kafka broker (KRaft), which they start and kill themselves.
# Needs: a JDK 17 and Maven, which fetches about 54 MB; installed where they are missing and may be (root on Debian).
# GRAY_KAFKA_MESSAGES=100000 for the long form; the default is 10,000. Arguments go to the test program.
. "$(dirname "$0")/lib.sh"
. scripts/brokers.sh

fetch_kafka
export GRAY_KAFKA_LIB=$KAFKA_LIB
say "Kafka broker: $GRAY_KAFKA_LIB"
say "building order-app and audit-app with their features"
cargo build --locked --workspace --exclude e2e-tests --features "$BROKERS" --bins --test chain --test kafka-broker
# Of the whole workspace: with `-p`, dependencies have other features and are built once more.
exec cargo test --locked --workspace --exclude e2e-tests --features "$BROKERS" --test kafka-broker --test chain -- \
  --ignored --test-threads 1 --nocapture --skip on_rabbitmq --skip jobs:: "$@"
