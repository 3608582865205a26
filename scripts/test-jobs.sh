#!/usr/bin/env bash
# The executor of jobs (adapters/gray-xxl-job) at a real scheduler, ratchjob, and beside Java's own executor and client.
# Needs: Rust; a JDK 17 and Maven for Java's part, which is left out, and said to be, without them. Builds ratchjob once (7 minutes), unless
# RATCHJOB names it. Ports 22010 to 22290 of this machine.
. "$(dirname "$0")/lib.sh"

RATCHJOB_VERSION=0.3.1
if [ -z "${RATCHJOB:-}" ]; then
  RATCHJOB=$PWD/target/tools/ratchjob-$RATCHJOB_VERSION/bin/ratchjob
  [ -x "$RATCHJOB" ] || {
    say "building ratchjob $RATCHJOB_VERSION"
    CARGO_TARGET_DIR=$TARGET/ratchjob cargo install -q ratchjob --version "$RATCHJOB_VERSION" --locked --root "${RATCHJOB%/bin/ratchjob}"
    rm -rf "$TARGET/ratchjob"
  }
fi
export RATCHJOB

PEERS=
skip=()
if has mvn && has java; then
  peer=adapters/gray-xxl-job/tests/java
  for version in 2.4.1 3.2.0; do
    say "building the peer with xxl-job-core $version"
    classes=$PWD/target/tools/xxl-job-peer-$version
    mkdir -p "$classes"
    mvn -q -B -f "$peer/pom.xml" -Dxxl.version="$version" -DbuildDirectory="$classes" compile \
      dependency:build-classpath -Dmdep.outputFile="$classes/classpath"
    PEERS="${PEERS:+$PEERS;}$version=$classes/classes:$(cat "$classes/classpath")"
  done
else
  say "SKIPPED Java's executor and client: no JDK and Maven here"
  skip=(--skip java)
fi
export PEERS

# The whole workspace, as the other tests have it: built apart, most dependencies would be compiled twice.
say "building ours"
of_all=(--locked --workspace --exclude e2e-tests --features "$BROKERS")
cargo build -q "${of_all[@]}" --bins --example view_orders
cargo test "${of_all[@]}" --test scheduler -- --ignored --test-threads 1 --nocapture "${skip[@]}"
# The chain that ends at a broker takes RabbitMQ's server, which test-rabbitmq.sh installs where it may.
if [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]; then
  cargo test "${of_all[@]}" --test chain -- --ignored --nocapture the_same_at_a_real_scheduler
else
  say "SKIPPED the chain with messages: no rabbitmq-server here (Debian: apt-get install rabbitmq-server)"
fi
