#!/usr/bin/env bash
# The plain figures of docs/benchmarks.md: start to listening, memory, program size, lines of code.
# Needs: Rust, a Linux with /proc. Builds the release profile.
. "$(dirname "$0")/lib.sh"

bench/run footprint
bin=$TARGET/release
cargo build --release --locked -p grayctl
for program in gray-gateway order-app user-app grayctl; do
  printf 'size of %s: %.1f MB\n' "$program" "$(awk "BEGIN {print $(stat -c %s "$bin/$program") / 1e6}")"
done
for crate in crates/* adapters/* gray-common gray-gateway order-app user-app user-client grayctl tests; do
  count() { find "$crate" -name '*.rs' "$@" -print0 | xargs -0r cat | grep -cvE '^\s*(//.*)?$' || true; }
  printf '%-22s %5d lines of code, %5d of them in test files\n' "$crate" "$(count)" "$(count '(' -path '*/tests/*' -o -name '*tests.rs' ')')"
done
