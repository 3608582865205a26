#!/usr/bin/env bash
# The gateway beside other proxies, its start-up and memory: bench/run, with Debian's packages installed where they are
# missing and may be. Single functions: `make bench-cases` (time) and scripts/bench-guard.sh (instructions).
. "$(dirname "$0")/lib.sh"

missing=()
for pair in wrk:wrk nginx:nginx haproxy:haproxy h2load:nghttp2-client; do
  PATH=$PATH:/usr/sbin has "${pair%%:*}" || missing+=("${pair##*:}")
done
[ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}" || say "cannot install ${missing[*]}: what needs them is left out"
exec bench/run "$@"
