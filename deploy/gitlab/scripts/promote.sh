#!/bin/sh
# promote.sh DIR: what is gray becomes the ordinary version: the same image, rolled out untagged; then gray ends.
# Needs: what render.sh needs, VERSION and IMAGE being those of the gray release.
# Exit codes: 0 promoted; 1 not, and the ordinary version is what it was; 2 wrong values.
set -eu
scripts=$(cd "$(dirname "$0")" && pwd)
RELEASE=normal GRAY_TAG=false "$scripts/render.sh" "${1?usage: promote.sh DIR}"
"$scripts/apply.sh" "$1"
"$scripts/rollback.sh" gray
