#!/usr/bin/env bash
# All tests, set-up included: Docker, the images, the city data, tools to test with, our own image, then every crate's tests in one
# `cargo test`: unit, property, contract, and end to end on a real Nacos in containers.
# Needs: Rust, and Docker or root on Debian (ensure-docker.sh). Without: make test-unit.
# Arguments go to cargo test: scripts/test.sh -p e2e-tests
. "$(dirname "$0")/lib.sh"

scripts/ensure-docker.sh
scripts/ensure-images.sh
scripts/fetch-city-data.sh
scripts/ensure-eureka.sh
scripts/ensure-tools.sh
WITH_TESTS=1 scripts/build-image.sh

# The tests look for the engine where DOCKER_HOST says, or at the usual socket; a docker context (Docker Desktop,
# rootless, colima) may have it elsewhere.
if [ -z "${DOCKER_HOST:-}" ] && [ ! -S /var/run/docker.sock ]; then
  DOCKER_HOST=$(docker context inspect --format '{{.Endpoints.docker.Host}}')
  export DOCKER_HOST
fi
say "cargo test"
[ $# -gt 0 ] || set -- --workspace --features "$BROKERS"
exec cargo test --locked "$@"
