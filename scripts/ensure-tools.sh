#!/usr/bin/env bash
# Puts the tools of other people that the scorecard measures with into target/tools: h2spec, toxiproxy, with --all also
# smugglex, which takes minutes to build; and installs Debian's slowhttptest, faketime, redis-server (for a test of
# gray-gateway), chromium, chromium-driver and varnish where it may. What cannot be had is said, and its rows are skipped.
# Needs: Go for the first two, root on Debian for the others.
. "$(dirname "$0")/lib.sh"

H2SPEC=github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible
TOXIPROXY=github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0
SMUGGLEX=smugglex@0.4.0
mkdir -p target/tools
tools=$PWD/target/tools

# go_tool NAME PACKAGE@VERSION: nothing when it is there already.
go_tool() {
  [ ! -x "$tools/$1" ] || return 0
  has go || { say "SKIPPED $1: it takes Go"; return 0; }
  say "building $1"
  local bin
  bin=$(mktemp -d)
  if GOBIN=$bin GOFLAGS=-mod=mod timeout 600 go install "$2"; then mv "$bin"/* "$tools/$1"
  else say "SKIPPED $1: $2 cannot be built here"; fi
  rm -rf "$bin"
}

go_tool h2spec "$H2SPEC"
go_tool toxiproxy-server "$TOXIPROXY"
if [ "${1:-}" = --all ] && [ ! -x "$tools/smugglex" ]; then
  say "building smugglex"
  if cargo install -q --locked "$SMUGGLEX" --root target/tools/cargo; then mv target/tools/cargo/bin/smugglex "$tools"
  else say "SKIPPED smugglex: it cannot be built here"; fi
  rm -rf target/tools/cargo
fi
for package in slowhttptest faketime redis-server; do
  has $package || apt_install $package >/dev/null || say "SKIPPED $package: cannot be installed here"
done
# What stands on both sides of a front end; varnishd may be where only root looks.
for package in chromium chromium-driver:chromedriver varnish:varnishd; do
  has "${package#*:}" || [ -x "/usr/sbin/${package#*:}" ] || apt_install "${package%:*}" >/dev/null || say "SKIPPED ${package%:*}: cannot be installed here"
done
say "tools: $(cd "$tools" && echo *)"
