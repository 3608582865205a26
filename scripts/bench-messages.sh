#!/usr/bin/env bash
# CPU and memory per message of adapters/gray-kafka and adapters/gray-rabbitmq beside the bare clients (rdkafka, lapin), on real brokers that
# it starts. Each way in a process of its own, five times in turn; the medians are printed as tables.
# Needs: a JDK 17, Maven, and Debian's rabbitmq-server; installed where they are missing and may be (root on Debian).
. "$(dirname "$0")/lib.sh"
. scripts/brokers.sh

fetch_kafka
install_rabbitmq
export GRAY_KAFKA_LIB=$KAFKA_LIB GRAY_BENCH_MESSAGES=1
# Of the whole workspace: with `-p`, dependencies have other features and are built once more.
exec cargo bench --locked --workspace --exclude e2e-tests --bench gray-rabbitmq-messages --bench gray-kafka-messages "$@"
