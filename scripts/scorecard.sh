#!/usr/bin/env bash
# Measures the scorecard: scorecard.sh [--write DIR] [ROW...]. Rows by number (4, F2) or part of the name; --list has them, --short
# takes seconds for each, --sabotage breaks each on purpose and wants to see all fail.
# Needs: Rust, and Docker or root on Debian (ensure-docker.sh). Rows whose tools cannot be had are skipped.
# PROFILE: cargo's profile (release).
. "$(dirname "$0")/lib.sh"

PROFILE=${PROFILE:-release}
scripts/ensure-docker.sh
scripts/ensure-images.sh
scripts/ensure-tools.sh --all
say "building the programs (profile $PROFILE)"
cargo build --locked --profile "$PROFILE" -p gray-gateway -p e2e-tests --bins
# Thousands of slow clients are as many open files, on both sides.
ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"
exec "$TARGET/${PROFILE/#dev/debug}/scorecard" "$@"
