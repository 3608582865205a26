#!/usr/bin/env bash
# The examples of Spring Kafka and Spring AMQP (examples/spring-kafka, examples/spring-amqp) beside our adapters, on real brokers.
# Needs: a JDK 17, Maven, and Debian's rabbitmq-server; installed where they are missing and may be (root on Debian).
. "$(dirname "$0")/lib.sh"
. scripts/brokers.sh

fetch_kafka
install_rabbitmq
has mvn || apt_install maven >/dev/null || die "the examples take Maven (Debian: apt-get install maven)"
GRAY_KAFKA_LIB=$KAFKA_LIB
for example in spring-kafka spring-amqp; do
  say "building examples/$example"
  mvn -q -B -f "examples/$example/pom.xml" process-classes
done
GRAY_SPRING_KAFKA=$PWD/examples/spring-kafka/target
GRAY_SPRING_AMQP=$PWD/examples/spring-amqp/target
export GRAY_KAFKA_LIB GRAY_SPRING_KAFKA GRAY_SPRING_AMQP
# Of the whole workspace: with `-p`, dependencies have other features and are built once more.
exec cargo test --locked --workspace --exclude e2e-tests --features "$BROKERS" --test spring-kafka --test spring-amqp -- --ignored --test-threads 1 --nocapture "$@"
