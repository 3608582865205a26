#!/usr/bin/env bash
# Starts the gateway: run.sh PORT
# NACOS: its address. NAMESPACE: none for the public one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export PORT=$1
exec java -Xmx256m -cp 'target/classes:target/lib/*' shop.Gateway
