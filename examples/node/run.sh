#!/usr/bin/env bash
# Starts order-app or user-app: run.sh order|user VERSION PORT
# NACOS: its address. NAMESPACE: none for the public one. EGRESS: host:port of the gateway beside this service; without it calls go out directly.
# AGENT=off: without OpenTelemetry. Neither is known to the service.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
preload=()
if [ -n "${EGRESS:-}" ]; then
  export HTTP_PROXY=http://$EGRESS http_proxy=http://$EGRESS
  preload+=(--require ./proxy.js)
fi
if [ "${AGENT:-on}" = on ]; then
  preload+=(--require ./otel.js)
  export OTEL_TRACES_EXPORTER=none OTEL_METRICS_EXPORTER=none OTEL_LOGS_EXPORTER=none OTEL_PROPAGATORS=tracecontext,baggage
fi
export VERSION=$2 PORT=$3
exec node "${preload[@]}" app.js "$1"
