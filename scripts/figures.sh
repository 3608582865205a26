#!/usr/bin/env bash
# The plain figures of docs/benchmarks.md: start to listening, idle memory, program size, lines of code.
# Needs: Rust, a Linux with /proc. Builds the release profile. RUNS: how many starts (20).
. "$(dirname "$0")/lib.sh"

RUNS=${RUNS:-20}
PORT=${PORT:-27000}
cargo build --release --locked -p gray-gateway -p order-app -p user-app -p grayctl
bin=$TARGET/release
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT

now_us() { echo $((${EPOCHREALTIME/./})); }
listening() { (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; }

times=()
for _ in $(seq "$RUNS"); do
  start=$(now_us)
  GRAY_LOG=off "$bin/gray-gateway" --port "$PORT" --admin-port $((PORT + 1)) --drain-wait-ms 0 \
    --registry-dir "$work" --config-dir deploy/nacos &
  pid=$!
  until listening; do [ $(($(now_us) - start)) -lt 5000000 ] || die "the gateway does not listen"; done
  times+=($(($(now_us) - start)))
  if [ "${#times[@]}" -eq "$RUNS" ]; then
    in_time 5 curl -sf "http://127.0.0.1:$((PORT + 1))/metrics"
    rss=$(awk '/^VmRSS/ {print $2}' "/proc/$pid/status")
  fi
  kill "$pid"
  wait "$pid" || true
  pid=
done
printf '%s\n' "${times[@]}" | sort -n | awk '{t[NR] = $1} END {printf "start to listening: median %.1f ms, max %.1f ms (%d starts)\n", t[int((NR + 1) / 2)] / 1000, t[NR] / 1000, NR}'
printf 'idle memory of the gateway: %.1f MB\n' "$(awk "BEGIN {print $rss / 1024}")"
for program in gray-gateway order-app user-app grayctl; do
  printf 'size of %s: %.1f MB\n' "$program" "$(awk "BEGIN {print $(stat -c %s "$bin/$program") / 1e6}")"
done
for crate in gray-common gray-gateway order-app user-app user-client grayctl tests; do
  count() { find "$crate" -name '*.rs' "$@" -print0 | xargs -0r cat | grep -cvE '^\s*(//.*)?$' || true; }
  printf '%-13s %5d lines of code, %5d of them in test files\n' "$crate" "$(count)" "$(count '(' -path '*/tests/*' -o -name '*tests.rs' ')')"
done
