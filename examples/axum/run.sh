#!/usr/bin/env bash
# Starts order-app or user-app: run.sh order|user VERSION PORT
# NACOS: its address. NAMESPACE: none for the public one. EGRESS: host:port of the gateway beside this service; without it calls go out directly.
# AGENT=off: without the layer and the middleware, as others are without OpenTelemetry.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ -z "${EGRESS:-}" ] || export HTTP_PROXY=http://$EGRESS
[ "${AGENT:-on}" = on ] || export LANES=off
exec "${CARGO_TARGET_DIR:-target}/debug/example-axum" "$@"
