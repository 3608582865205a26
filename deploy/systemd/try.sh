#!/bin/bash
# try.sh NACOS: run by scripts/run-units.sh as root of a throw-away machine with systemd: the units, started and stopped.
# The programs and units are installed already. Ends with 0 when everything went as docs/deploy.md has it.
set -euo pipefail
nacos=$1
fail() { echo "error: $1" >&2; journalctl --no-pager -n 40 -u 'gray-*' >&2; exit 1; }
within() { # SECONDS COMMAND...
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || fail "not in time: $*"
    sleep 0.2
  done
}
is() { [ "$(systemctl is-active "$2")" = "$1" ]; }
order() { curl -sf --max-time 5 -o /dev/null 127.0.0.1:7000/order-api/order/N0001; }
ended_well() { [ "$(systemctl show "$1" -p Result -p ExecMainStatus --value | tr '\n' ' ')" = "success 0 " ]; }

sed -i "s/^GRAY_NACOS=.*/GRAY_NACOS=$nacos/" /etc/gray-chain/gray-gateway.env
for service in order-app user-app; do echo "GRAY_NACOS=$nacos" >/etc/gray-chain/$service.env; done
systemctl start gray-service@user-app gray-service@order-app gray-gateway@a
within 60 order
[ "$(stat -c %U:%a /var/lib/gray-chain/gateway-a/snapshot)" = gray-chain:700 ] || fail "no snapshot"
echo "started"

# Requests one after the other, each with a connection of its own, while everything below happens.
(failed=0 sent=0
 while [ ! -e /run/enough ]; do order || failed=$((failed + 1)); sent=$((sent + 1)); done
 echo "$sent $failed" >/run/load) &
load=$!
pid=$(systemctl show gray-gateway@a -p MainPID --value)
systemctl reload gray-gateway@a
within 10 grep -q SIGHUP <(journalctl --no-pager -u gray-gateway@a)
[ "$(systemctl show gray-gateway@a -p MainPID --value)" = "$pid" ] || fail "a reload is a restart"
systemctl start gray-gateway@b
within 60 is inactive gray-gateway@a
ended_well gray-gateway@a || fail "@a did not end with success"
systemctl start gray-gateway@a
within 60 is inactive gray-gateway@b
ended_well gray-gateway@b || fail "@b did not end with success"
touch /run/enough
wait $load
read -r sent failed </run/load
[ "$failed" = 0 ] && [ "$sent" -gt 100 ] || fail "$failed of $sent requests failed while the sockets were handed over"
echo "handed over twice: $sent requests, none failed"

for unit in gray-gateway@a gray-service@order-app gray-service@user-app; do
  began=$SECONDS
  systemctl stop $unit
  ended_well $unit || fail "$unit did not stop with success"
  [ $((SECONDS - began)) -le 10 ] || fail "$unit took $((SECONDS - began)) s without anything in flight"
done
systemctl start gray-gateway
within 30 curl -sf 127.0.0.1:7001/livez
kill -KILL "$(systemctl show gray-gateway -p MainPID --value)"
within 30 curl -sf 127.0.0.1:7001/livez
[ "$(systemctl show gray-gateway -p NRestarts --value)" = 1 ] || fail "a killed gateway was not started again"
systemctl stop gray-gateway
[ -z "$(systemctl list-units --failed --no-legend 'gray-*')" ] || fail "a unit has failed"
! journalctl --no-pager -u 'gray-*' | grep -iE 'operation not permitted|read-only file system|permission denied|panicked|SIGSYS' || fail "the hardening is in the way"
echo "stopped in order, started again after a kill"
