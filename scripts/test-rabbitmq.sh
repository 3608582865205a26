#!/usr/bin/env bash
# The tests of gray-rabbitmq on a real broker: 10,000 messages while consumers are killed and versions come and go. GRAY_MESSAGES and
# GRAY_SEED change that. Each test starts a broker of its own, in a folder of its own, on free ports.
# Needs: Debian's rabbitmq-server; installed where it is missing and may be (root on Debian). Its service is not started.
. "$(dirname "$0")/lib.sh"
. scripts/brokers.sh

install_rabbitmq
say "building order-app and audit-app with their features, and an executor of jobs"
cargo build --locked --workspace --exclude e2e-tests --features "$BROKERS" --bins --example view_orders --test broker --test chain
say "cargo test, on RabbitMQ"
# Of the whole workspace, so that what `make test` has built serves. The consumers that are killed are this program once more.
cargo test --locked --workspace --exclude e2e-tests --features "$BROKERS" --test broker --test chain -- \
  --ignored --nocapture --test-threads 1 --skip consumer_process --skip on_kafka --skip at_a_real_scheduler
