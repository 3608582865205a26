#!/usr/bin/env bash
# Makes sure that a Docker engine answers and that `docker compose` (v2) works; does nothing when they do.
# Needs: nothing where Docker is set up. Else root on Debian (installs docker.io and starts dockerd), and Go where
# the compose plugin is missing. What it starts stays up: the log is in target/dockerd.log.
. "$(dirname "$0")/lib.sh"

COMPOSE_VERSION=v2.40.3

engine_up() { timeout 20 docker info >/dev/null 2>&1; }

start_engine() {
  local log
  if ! has dockerd || ! has docker || ! has iptables; then
    say "installing the Docker engine (Debian's docker.io)"
    apt_install docker.io iptables ca-certificates >/dev/null
  fi
  mkdir -p "$TARGET"
  log=$TARGET/dockerd.log
  say "starting dockerd (log: $log)"
  # In a session of its own and off our descriptors, so that it outlives this script and holds no pipe open.
  setsid dockerd >"$log" 2>&1 </dev/null &
  in_time 60 engine_up || {
    tail -n 20 "$log" >&2
    die "dockerd did not answer within 60 s"
  }
}

if ! engine_up; then
  if [ "$(id -u)" != 0 ] || ! has apt-get || ! { has dockerd || [ -f /etc/debian_version ]; }; then
    die "no Docker engine answers (docker info fails). Start it, or install it:
       Debian/Ubuntu  sudo apt-get install docker.io docker-compose-v2    macOS, Windows  Docker Desktop
       then check that your user may use it (group docker). Without Docker: make test-unit"
  fi
  # A service manager starts its own, if there is one.
  { [ -d /run/systemd/system ] && has dockerd && systemctl start docker && in_time 30 engine_up; } || start_engine
fi
say "Docker engine $(docker version --format '{{.Server.Version}}'), client $(docker version --format '{{.Client.Version}}') ($(command -v docker))"

if ! docker compose version >/dev/null 2>&1; then
  has go || die "\`docker compose\` (v2) is missing: install your system's docker-compose-plugin, or Go to build it here"
  say "building the compose plugin $COMPOSE_VERSION (about 2 minutes)"
  work=$(mktemp -d)
  trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT
  dir=$(go mod download -json "github.com/docker/compose/v2@$COMPOSE_VERSION" | sed -n 's/^.*"Dir": "\(.*\)".*$/\1/p')
  cp -r "$dir/." "$work"
  chmod -R u+w "$work"
  mkdir -p ~/.docker/cli-plugins
  (cd "$work" && CGO_ENABLED=0 nice go build -trimpath -o "$work/docker-compose" \
    -ldflags "-s -w -X github.com/docker/compose/v2/internal.Version=$COMPOSE_VERSION" ./cmd)
  install -m 755 "$work/docker-compose" ~/.docker/cli-plugins/docker-compose
fi
say "compose $(docker compose version --short)"
