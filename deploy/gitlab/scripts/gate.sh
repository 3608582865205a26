#!/bin/sh
# gate.sh: whether the release that was just deployed may go on. Three questions, each answered by an exit code:
#   1. grayctl rules lint: no likely mistake in the rules as they are in effect, above all no lane without an instance
#      (which is what a gray release that never registered looks like);
#   2. requests of a tester through the gateway: all answered with 2xx;
#   3. the gateway's metrics: none of them fell back to the ordinary version.
# Needs: grayctl, curl, GATEWAY (http://HOST:PORT), GATEWAY_ADMIN (its admin side).
# May have: GRAY_ADMIN_TOKEN, GATE_WAIT (60, seconds), GATE_PATHS (paths), GATE_HEADER (`gray-tag: true`), GATE_COUNT (20).
# Exit codes: 0 go on; 1 do not; 2 the gate itself is set up wrongly.
set -eu
: "${GATEWAY?}" "${GATEWAY_ADMIN?}"
wait=${GATE_WAIT-60} count=${GATE_COUNT-20}
paths=${GATE_PATHS-/order-api/order/N0001 /user-api/user/U0001}
header=${GATE_HEADER-gray-tag: true}

deadline=$(($(date +%s) + wait))
while :; do
  code=0
  said=$(grayctl rules lint --gateway "$GATEWAY_ADMIN" 2>&1) || code=$?
  case $code in
  0) break ;;
  1) [ "$(date +%s)" -lt $deadline ] || { printf 'gate.sh: after %s s still:\n%s\n' "$wait" "$said" >&2; exit 1; } ;;
  *) printf 'gate.sh: grayctl ended with %s:\n%s\n' "$code" "$said" >&2; exit 2 ;;
  esac
  sleep 1
done
echo "rules: no findings"

fallbacks() {
  curl -fsS --max-time 10 "$GATEWAY_ADMIN/metrics" | awk '/^gray_gateway_fallbacks_total[ {]/ { sum += $NF } END { print sum + 0 }'
}
before=$(fallbacks) || exit 2
for path in $paths; do
  sent=0
  while [ $sent -lt "$count" ]; do
    curl -fsS --max-time 10 -o /dev/null -H "$header" "$GATEWAY$path" || { echo "gate.sh: $path failed after $sent" >&2; exit 1; }
    sent=$((sent + 1))
  done
  echo "$path: $sent requests answered"
done
after=$(fallbacks) || exit 2
[ "$before" = "$after" ] || { echo "gate.sh: gray requests fell back to the ordinary version ($before, then $after)" >&2; exit 1; }
echo "no fallbacks: the gate is open"
