#!/usr/bin/env bash
# Starts Kafka in the stand-in image, understanding the variables of the published one: KAFKA_A_B_C=x is the property a.b.c=x (`__` is an
# underscore, `___` a hyphen), CLUSTER_ID, KAFKA_HEAP_OPTS.
set -euo pipefail
properties=/var/lib/kafka/server.properties
read -ra heap <<<"${KAFKA_HEAP_OPTS:--Xmx512m}"
java=(java "${heap[@]}" -cp '/opt/kafka/libs/*')
echo "log.dirs=/var/lib/kafka/data" >"$properties"
env | while IFS='=' read -r name value; do
  case $name in
    KAFKA_HEAP_OPTS | KAFKA_OPTS) ;;
    KAFKA_*) sed -E 's/___/-/g; s/__/\n/g; s/_/./g; s/\n/_/g' <<<"${name#KAFKA_}" | tr -d '\n' | tr '[:upper:]' '[:lower:]' && printf '=%s\n' "$value" ;;
  esac
done >>"$properties"
"${java[@]}" kafka.tools.StorageTool format --ignore-formatted -t "${CLUSTER_ID:-5L6g3nShT-eMCtK--X86sw}" -c "$properties"
exec "${java[@]}" kafka.Kafka "$properties"
