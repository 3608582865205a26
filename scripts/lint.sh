#!/usr/bin/env bash
# Everything that must hold before the tests: format, clippy, the crates' docs, licences and sources of dependencies, and
# what deploy/ holds (check-deploy.sh, its short form).
# Needs: Rust; Python and Go for deploy/. Installs cargo-deny when it is missing (about 3 minutes). Advisories are checked where their database
# can be reached; where not, that is said.
. "$(dirname "$0")/lib.sh"

DENY_VERSION=0.20.2

say "format"
cargo fmt --all --check
# Of a workspace of its own, which is built last.
cargo metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null || die "fuzz/Cargo.lock is behind: cargo metadata --manifest-path fuzz/Cargo.toml"
for script in $(git ls-files '*.sh'); do
  ! head -n 1 "$script" | grep -q '^#!' || [ -x "$script" ] || die "$script cannot be started: chmod +x $script"
done
say "clippy"
cargo clippy --workspace --features "$BROKERS" --all-targets --locked -- -D warnings
say "every crate and every feature alone"
# A build of the workspace gives each dependency the features that anybody asks for.
for crate in crates/* adapters/*; do
  cargo check -q --locked -p "${crate#*/}"
done
for features in "" kafka rabbitmq; do
  cargo check -q --locked -p order-app -p audit-app --no-default-features ${features:+--features "order-app/$features,audit-app/$features"}
done
for features in "" registry client eureka nacos cli metrics service; do
  cargo check -q --locked -p gray-common --no-default-features --features "$features"
done
cargo clippy -q --locked -p gray-rabbitmq --all-targets --features tls -- -D warnings
say "docs"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
has cargo-deny || {
  say "installing cargo-deny $DENY_VERSION"
  CARGO_TARGET_DIR=$TARGET/cargo-deny cargo install -q cargo-deny --version "$DENY_VERSION" --locked
  rm -rf "$TARGET/cargo-deny"
}
say "dependencies: licences, bans, sources"
cargo deny --log-level error check licenses bans sources
if timeout 60 cargo deny --log-level error fetch db >/dev/null 2>&1; then
  say "dependencies: advisories"
  cargo deny --log-level error check advisories
else
  say "SKIPPED the advisories: their database cannot be reached from here"
fi
if has python3 && has go; then
  say "deploy/"
  scripts/check-deploy.sh --quick
else
  say "SKIPPED deploy/: it takes Python and Go"
fi
