#!/usr/bin/env bash
# Starts order-app or user-app: run.sh order|user VERSION PORT
# EXAMPLE: another directory of the same shape than that of this script.
# NACOS: its address. NAMESPACE: none for the public one. EUREKA: its URL, in java-eureka.
# EGRESS: host:port of the gateway beside this service; without it calls go out directly.
# AGENT=off: without OpenTelemetry. Both are options of the JVM, and the services know of neither.
set -euo pipefail
cd "${EXAMPLE:-$(dirname "${BASH_SOURCE[0]}")}"
role=$1
options=(-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1)
if [ "${AGENT:-on}" = on ]; then
  options+=(-javaagent:target/agent/opentelemetry-javaagent.jar)
  export OTEL_TRACES_EXPORTER=none OTEL_METRICS_EXPORTER=none OTEL_LOGS_EXPORTER=none OTEL_PROPAGATORS=tracecontext,baggage
fi
if [ -n "${EGRESS:-}" ]; then
  # Empty, or 127.0.0.1 is called directly: the default is localhost|127.*, and it is added to every other value.
  options+=(-Dhttp.proxyHost="${EGRESS%:*}" -Dhttp.proxyPort="${EGRESS##*:}" -Dhttp.nonProxyHosts=)
fi
export VERSION=$2 PORT=$3 STACK=${PWD##*/}
exec java "${options[@]}" -cp 'target/classes:target/lib/*' "shop.$role.$(tr a-z A-Z <<<"${role:0:1}")${role:1}App"
