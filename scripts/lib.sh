# Shared by the scripts beside it: `. "$(dirname "$0")/lib.sh"`. Needs bash; moves to the project's root.
# Gives: say, die, has, in_time, the names of the images, and BROKERS.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

TARGET=${CARGO_TARGET_DIR:-target}
BASE_IMAGE=debian:bookworm-slim
NACOS_IMAGE=nacos/nacos-server:v2.3.2
KAFKA_IMAGE=apache/kafka:4.3.1
RABBITMQ_IMAGE=rabbitmq:3.10.8
OUR_IMAGE=gray-chain:dev
EUREKA_IMAGE=gray-chain-eureka:dev
# Brokers of order-app and audit-app, the same in all builds of the workspace, so that nothing is built twice.
BROKERS=order-app/kafka,order-app/rabbitmq,audit-app/kafka
export TARGET BROKERS BASE_IMAGE NACOS_IMAGE KAFKA_IMAGE RABBITMQ_IMAGE OUR_IMAGE EUREKA_IMAGE

say() { printf '==> %s\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

# in_time SECONDS COMMAND...: polls until COMMAND succeeds; fails once the deadline has passed.
in_time() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || return 1
    sleep 0.5
  done
}

# Debian's packages, as root, without questions.
apt_install() {
  [ "$(id -u)" = 0 ] && has apt-get || return 1
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2 && return
  apt-get update -q >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2
}

# docker_build ARGS...: `docker build` by BuildKit, which skips the stages that are not asked for. The engine's own
# client has it (buildx from release 23 on, built in before); a client without buildx falls back to the classic
# builder, which runs every stage, so it is passed over.
docker_build() {
  local client
  if docker buildx version >/dev/null 2>&1; then
    DOCKER_BUILDKIT=1 docker build "$@"
    return
  fi
  for client in $(type -ap docker); do
    case $("$client" version --format '{{.Client.Version}}' 2>/dev/null) in
      19.* | 20.*) DOCKER_BUILDKIT=1 "$client" build "$@"; return ;;
    esac
  done
  die "no docker client here can build with BuildKit: install the buildx plugin (docker-buildx-plugin)"
}
