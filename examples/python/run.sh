#!/usr/bin/env bash
# Starts order-app or user-app: run.sh order|user VERSION PORT
# NACOS: its address. NAMESPACE: none for the public one. EGRESS: host:port of the gateway beside this service; without it calls go out directly.
# AGENT=off: without OpenTelemetry. Neither is known to the service.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
PATH=$PWD/.venv/bin:$PATH
[ -z "${EGRESS:-}" ] || export HTTP_PROXY=http://$EGRESS
agent=()
if [ "${AGENT:-on}" = on ]; then
  agent=(opentelemetry-instrument)
  export OTEL_TRACES_EXPORTER=none OTEL_METRICS_EXPORTER=none OTEL_LOGS_EXPORTER=none OTEL_PROPAGATORS=tracecontext,baggage
fi
export VERSION=$2 PORT=$3
exec "${agent[@]}" uvicorn "app:$1_app" --host 127.0.0.1 --port "$PORT"
