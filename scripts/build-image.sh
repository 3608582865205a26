#!/usr/bin/env bash
# Builds our image, gray-chain:dev. Where this machine's binaries run in it (Linux, glibc no newer than the image's),
# cargo builds them here, once for the tests and for the image; elsewhere they are built from source inside Docker.
# Needs: a Docker engine with BuildKit, the base image (ensure-images.sh), Rust.
# PROFILE: cargo's profile (dev; release for a small, fast image). BUILD=prebuilt|source: do not choose.
# WITH_TESTS=1: build the tests in the same go. `cargo test` then compiles nothing again; built apart, the programs
# alone have fewer features switched on in their dependencies, and most of those would be compiled twice.
. "$(dirname "$0")/lib.sh"

PROFILE=${PROFILE:-dev}
IMAGE_GLIBC=2.36 # Debian 12's
BINS=(gray-gateway order-app user-app audit-app grayctl)

runs_in_image() {
  local glibc
  [ "$(uname -s)" = Linux ] && glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || return 1
  printf '%s\n%s\n' "${glibc#glibc }" "$IMAGE_GLIBC" | sort --version-sort --check=quiet
}

# Part of the version of a released image. Not of `dev`: every commit would compile everything again.
if [ "$PROFILE" != dev ] && GRAY_COMMIT=$(git rev-parse --short=7 HEAD 2>/dev/null); then export GRAY_COMMIT; fi

WHAT=("${BINS[@]/#/--package=}")
[ "${WITH_TESTS:-0}" = 0 ] || WHAT=(--workspace --bins --tests)

BUILD=${BUILD:-$(if runs_in_image; then echo prebuilt; else echo source; fi)}
if [ "$BUILD" = prebuilt ]; then
  say "building the programs (profile $PROFILE)"
  cargo build --locked --profile "$PROFILE" "${WHAT[@]}" --features "$BROKERS"
  built=$TARGET/${PROFILE/#dev/debug}
  rm -rf target/image
  mkdir -p target/image/bin target/image/share
  for bin in "${BINS[@]}"; do
    strip -o "target/image/bin/$bin" "$built/$bin" 2>/dev/null || cp "$built/$bin" "target/image/bin/$bin"
    chmod 755 "target/image/bin/$bin"
  done
  [ ! -f data/ip2region.xdb ] || install -m 644 data/ip2region.xdb target/image/share/
fi
say "building $OUR_IMAGE ($BUILD)"
docker_build -q -f deploy/docker/Dockerfile --build-arg BUILD="$BUILD" --build-arg GRAY_COMMIT="${GRAY_COMMIT:-}" -t "$OUR_IMAGE" . >/dev/null
say "$OUR_IMAGE: $(($(docker image inspect -f '{{.Size}}' "$OUR_IMAGE") / 1000000)) MB"
