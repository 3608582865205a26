#!/usr/bin/env bash
# run-units.sh [DEB]: the systemd units, run by a real systemd in a container: started with all their hardening, reloaded,
# sockets handed over between the pair under load, stopped, killed. With DEB the package is installed, updated, removed and
# purged there; without, the programs of target/debug are copied. About a minute, and once as long for the image.
# Needs: Docker (ensure-docker.sh) that may give a container CAP_SYS_ADMIN; tried where cgroups are of version 1.
. "$(dirname "$0")/lib.sh"

scripts/ensure-docker.sh
scripts/ensure-images.sh
name=gray-units-$$
work=$(mktemp -d)
trap 'docker rm -f $name $name-nacos >/dev/null 2>&1; rm -rf "$work"' EXIT
cat >"$work/Dockerfile" <<DOCKERFILE
FROM $BASE_IMAGE
RUN apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends systemd systemd-sysv dbus curl procps
DOCKERFILE
say "an image with systemd"
docker_build --network host -q -t gray-chain-systemd:dev "$work" >/dev/null

say "starting systemd and Nacos"
docker run -d --name "$name-nacos" -e MODE=standalone -e JVM_XMS=256m -e JVM_XMX=512m -e JVM_XMN=128m "$NACOS_IMAGE" >/dev/null
docker run -d --name "$name" --cap-add SYS_ADMIN --cap-add SYS_PTRACE --cap-add NET_ADMIN --security-opt seccomp=unconfined \
  --security-opt apparmor=unconfined --cgroupns=private --tmpfs /run --tmpfs /run/lock --tmpfs /tmp gray-chain-systemd:dev \
  sh -c 'mount -o remount,rw /sys/fs/cgroup; export container=docker; exec /lib/systemd/systemd' >/dev/null
inside() { docker exec "$name" "$@"; }
in_time 30 inside systemctl is-active multi-user.target || die "systemd does not start in a container here"

built=$TARGET/debug
if [ $# -gt 0 ]; then
  docker cp "$1" "$name:/opt/gray-gateway.deb" >/dev/null
  inside dpkg -i /opt/gray-gateway.deb
  # shellcheck disable=SC2016 # expanded inside
  inside sh -c '[ "$(systemctl is-enabled gray-gateway)" = disabled ] && ! systemctl is-active -q gray-gateway' || die "the package starts or enables something"
else
  for unit in deploy/systemd/*.service; do docker cp "$unit" "$name:/etc/systemd/system/" >/dev/null; done
  for program in gray-gateway grayctl; do docker cp "$built/$program" "$name:/usr/bin/" >/dev/null; done
  inside mkdir -p /etc/sysusers.d /etc/gray-chain
  docker cp deploy/systemd/gray-chain.sysusers "$name:/etc/sysusers.d/gray-chain.conf" >/dev/null
  docker cp deploy/systemd/gray-gateway.env "$name:/etc/gray-chain/" >/dev/null
  inside sh -c 'chmod 600 /etc/gray-chain/*.env && systemd-sysusers && systemctl daemon-reload'
fi
for program in order-app user-app; do docker cp "$built/$program" "$name:/usr/bin/" >/dev/null; done
docker cp deploy/nacos "$name:/opt/documents" >/dev/null
nacos=$(docker inspect -f '{{.NetworkSettings.IPAddress}}' "$name-nacos"):8848
in_time 120 inside grayctl publish --nacos "$nacos" --dir /opt/documents --yes || die "the documents cannot be published"
docker cp deploy/systemd/try.sh "$name:/opt/try.sh" >/dev/null
inside bash /opt/try.sh "$nacos"

if [ $# -gt 0 ]; then
  say "update, removal, purge"
  inside systemctl start gray-gateway@a
  pid=$(inside systemctl show gray-gateway@a -p MainPID --value)
  inside dpkg -i /opt/gray-gateway.deb
  [ "$(inside systemctl show gray-gateway@a -p MainPID --value)" = "$pid" ] || die "an update restarts the gateway"
  inside grep -q "^GRAY_NACOS=$nacos" /etc/gray-chain/gray-gateway.env || die "an update replaces the settings"
  inside dpkg -r gray-gateway
  ! inside systemctl is-active -q gray-gateway@a || die "removed, and still running"
  inside test -e /etc/gray-chain/gray-gateway.env || die "removal takes the settings"
  inside dpkg -P gray-gateway
  ! inside test -e /etc/gray-chain/gray-gateway.env || die "a purge leaves the settings"
  ! inside test -e /var/lib/gray-chain || die "a purge leaves the snapshots"
fi
say "the units work"
