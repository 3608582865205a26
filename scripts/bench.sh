#!/usr/bin/env bash
# The benchmarks of docs/benchmarks.md. Needs: Rust; what a harness in bench/ compares with, it names itself. Instructions: scripts/bench-guard.sh.
. "$(dirname "$0")/lib.sh"

cargo bench --locked --workspace --exclude e2e-tests "$@"
if [ -f bench/run ]; then exec bench/run; fi
