#!/usr/bin/env bash
# Instructions per case of the benchmarks, compared with bench/instructions.txt: fails above LIMIT percent more (5).
# Time is noisy on a busy machine, instructions are not. `--save` writes the file. Needs: Rust, valgrind.
. "$(dirname "$0")/lib.sh"

LIMIT=${LIMIT:-5}
KNOWN=bench/instructions.txt
has valgrind || apt_install valgrind || die "needs valgrind"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# count PACKAGE: one line `case instructions` each; callgrind dumps whenever the program goes on to the next case.
count() {
  local program part=1 name times dump
  program=$(cargo bench --locked -p "$1" --bench speed --no-run --message-format=json |
    sed -nE 's/.*"name":"speed".*"executable":"([^"]+)".*/\1/p' | tail -n 1)
  rm -f "$work"/dump*
  valgrind --tool=callgrind --callgrind-out-file="$work/dump" --collect-atstart=no \
    --toggle-collect='*harness::counted*' --dump-before='speed::harness::counted*' "$program" --count \
    >"$work/names" 2>"$work/log" || die "$(tail -n 5 "$work/log")"
  while read -r name times; do
    part=$((part + 1))
    dump=$work/dump.$part
    [ -f "$dump" ] || dump=$work/dump # The last case ends with the program.
    echo "$name $(($(sed -nE 's/^summary: ([0-9]+).*/\1/p' "$dump") / times))"
  done <"$work/names"
}

for package in gray-common gray-gateway; do
  say "counting the instructions of $package"
  count "$package" >>"$work/new"
done
if [ "${1:-}" = --save ]; then
  mkdir -p "$(dirname "$KNOWN")"
  cp "$work/new" "$KNOWN"
fi
awk -v limit="$LIMIT" '
  NR == FNR { old[$1] = $2; next }
  {
    ratio = old[$1] ? $2 / old[$1] : 1
    # A look-up takes a few more or less from run to run, as the seeds of the hashes fall.
    bad = ratio > 1 + limit / 100 && $2 - old[$1] > 25
    printf "%-32s %12d %12d  x%.3f%s\n", $1, old[$1], $2, ratio, bad ? "  <-- more" : old[$1] ? "" : "  new"
    failed += bad
  }
  END { exit failed > 0 }' "$KNOWN" "$work/new" || die "more than $LIMIT % above $KNOWN; if that is meant: scripts/bench-guard.sh --save"
