#!/usr/bin/env bash
# Front-end gray in a real browser, the long form: test-browser.sh [LOADS]; 1,000 without. `make test` has a short form.
# Needs: Rust, and Debian's chromium, chromium-driver and varnish, or root to install them.
. "$(dirname "$0")/lib.sh"

scripts/ensure-tools.sh
for program in chromium chromedriver; do has $program || die "no $program here (Debian: apt-get install chromium chromium-driver)"; done
say "building ours"
cargo build --locked -q --workspace --bins --tests
BROWSER_LOADS=${1:-1000} exec cargo test --locked --workspace --test e2e -- browser:: --nocapture
