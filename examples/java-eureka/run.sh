#!/usr/bin/env bash
# Starts order-app or user-app of this directory, as ../java-boot35/run.sh says.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
EXAMPLE=$here exec "$here/../java-boot35/run.sh" "$@"
