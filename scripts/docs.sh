#!/usr/bin/env bash
# The crates' documentation, warnings being errors. Needs: Rust. Ends with the page to open.
. "$(dirname "$0")/lib.sh"

RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
say "open $TARGET/doc/gray_common/index.html"
