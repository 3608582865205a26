#!/usr/bin/env bash
# Builds the programs for release, and the Debian package into target/package. What is in it: gray-gateway/Cargo.toml,
# [package.metadata.deb]. scripts/run-units.sh PACKAGE tries it out.
# Needs: Rust; dpkg-dev, for the libraries that it depends on. Installs cargo-deb when it is missing (about 3 minutes).
. "$(dirname "$0")/lib.sh"

CARGO_DEB=3.8.0

if GRAY_COMMIT=$(git rev-parse --short=7 HEAD 2>/dev/null); then export GRAY_COMMIT; fi
has cargo-deb || {
  say "installing cargo-deb $CARGO_DEB"
  CARGO_TARGET_DIR=$TARGET/cargo-deb cargo install -q cargo-deb --version "$CARGO_DEB" --locked
  rm -rf "$TARGET/cargo-deb"
}
say "building the programs"
cargo build --locked --release -p gray-gateway -p grayctl -p order-app -p user-app
say "packing"
mkdir -p target/package
cargo deb --no-build -p gray-gateway --output target/package
