#!/usr/bin/env bash
# Whether systemd takes the units without a word, and what it makes of their hardening (0 best, 10 worst). Starts nothing.
set -euo pipefail
cd "$(dirname "$0")"
WORST=15 # 1.5, in tenths
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
# The programs need not be installed: units are verified against a root of their own.
mkdir -p "$root/usr/bin" "$root/bin" "$root/usr/lib/systemd/system" "$root/etc/gray-chain"
for program in usr/bin/gray-gateway usr/bin/order-app bin/kill; do install -m 755 /bin/true "$root/$program"; done
cp ./*.service "$root/usr/lib/systemd/system"
cp /lib/systemd/system/{network-online,network,sysinit,basic,shutdown,multi-user,local-fs,system,slices}*.{target,slice} \
  "$root/usr/lib/systemd/system" 2>/dev/null || true
printf 'root:x:0:0::/:/bin/sh\ngray-chain:x:998:998::/:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\ngray-chain:x:998:\n' >"$root/etc/group"
status=0
for unit in gray-gateway.service gray-gateway@a.service gray-service@order-app.service; do
  said=$(systemd-analyze verify --root "$root" --man=no "$unit" 2>&1) || status=1
  # Units of the machine are not what is asked about.
  said=$(grep -E 'gray-|Unknown|Failed' <<<"$said" || true)
  [ -z "$said" ] || { printf '%s: %s\n' "$unit" "$said" >&2; status=1; }
done
for unit in *.service; do
  level=$(systemd-analyze security --offline=true --no-pager "./$unit" 2>/dev/null | sed -n 's/.*Overall exposure level for .*: \([0-9.]*\) .*/\1/p')
  echo "$unit: exposure ${level:-unknown}"
  [ -n "$level" ] && [ "$(tr -d . <<<"$level")" -le $WORST ] || { echo "$unit: more exposed than ${WORST%?}.${WORST#?}" >&2; status=1; }
done
exit $status
