#!/usr/bin/env bash
# The chain as five processes on this machine, without Docker or Nacos: builds, starts, shows, stays until Ctrl-C.
# Needs: Rust. Arguments go to `grayctl demo`.
. "$(dirname "$0")/lib.sh"

# All in one build: built apart, each program would have the dependencies compiled with features of its own.
cargo build --locked -p gray-gateway -p order-app -p user-app -p grayctl
exec "$TARGET/debug/grayctl" demo "$@"
