#!/usr/bin/env bash
# The chain in containers on a real Nacos (docker-compose.yml), with our image built from this tree first.
# COMPOSE_PROFILES=kafka or rabbitmq: with that broker and audit-app.
# Needs: Rust, and Docker or root on Debian (ensure-docker.sh). The city data is left out where it cannot be fetched.
. "$(dirname "$0")/lib.sh"

scripts/ensure-docker.sh
IFS=, read -ra profiles <<<"${COMPOSE_PROFILES:-}"
scripts/ensure-images.sh ${profiles[@]+"${profiles[@]}"}
scripts/fetch-city-data.sh || say "going on without the city data"
scripts/build-image.sh
docker compose up -d --wait "$@"
say "try: curl -H 'gray: gray-996' http://127.0.0.1:${GATEWAY_PORT:-7000}/order-api/order/N0001    stop with: make down"
