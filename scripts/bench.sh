#!/usr/bin/env bash
# The benchmarks of docs/benchmarks.md. Needs: Rust, wrk; of nginx and haproxy what is to be compared (bench/run). Instructions
# are another matter: scripts/bench-guard.sh.
. "$(dirname "$0")/lib.sh"

cargo bench --locked --workspace --exclude e2e-tests "$@"
if [ -f bench/run ]; then exec bench/run; fi
