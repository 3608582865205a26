#!/usr/bin/env bash
# Fuzzes what comes from outside: fuzz.sh [--keep] [SECONDS [TARGET...]], each target (rules, documents, headers, facts, paths,
# requests, registry) for so long (FUZZ_SECONDS, else 60). A finding ends it, with the input in fuzz/artifacts; what was learnt stays in
# fuzz/corpus. --keep puts the few of it that reach all that was reached into fuzz/learnt, where everybody starts from.
# Needs: Rust (stable is enough, no cargo-fuzz) and a C++ compiler for libFuzzer. Without one it says so and does nothing.
. "$(dirname "$0")/lib.sh"

keep=
[ "${1:-}" != --keep ] || { keep=1 && shift; }
seconds=${1:-${FUZZ_SECONDS:-60}}
shift $(($# > 0 ? 1 : 0))
[ $# -gt 0 ] || set -- rules documents headers facts paths requests registry
case $seconds in '' | *[!0-9]*) die "seconds expected, found \`$seconds\`" ;; esac
has "${CXX:-c++}" || {
  say "SKIPPED fuzzing: no C++ compiler here"
  exit 0
}

# Dependencies are shared with the other builds. Our own crates are built anew, with counters and some optimisation: it is
# the other optimisation level that keeps them apart.
say "fuzz: building"
levels=(--config profile.dev.opt-level=2)
for crate in gray-common gray-gateway crates/*; do
  levels+=(--config "profile.dev.package.${crate#crates/}.opt-level=2")
done
RUSTC_WRAPPER=$PWD/fuzz/rustc.sh CARGO_INCREMENTAL=0 cargo build -q --locked --manifest-path fuzz/Cargo.toml \
  --target-dir "$TARGET" "${levels[@]}"

for target in "$@"; do
  seeds=("fuzz/corpus-seed/$target")
  [ "$target" != rules ] || seeds+=(docs/examples)
  options=(-max_len=4096 -timeout=10 -rss_limit_mb=2048)
  [ ! -f "fuzz/$target.dict" ] || options+=(-dict="fuzz/$target.dict")
  # In CI the same path every time: what it finds must come from the change, not from luck.
  [ "${CI:-}" != true ] || options+=(-seed=1)
  mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
  [ ! -f "fuzz/learnt/$target.tar.gz" ] || tar -xzf "fuzz/learnt/$target.tar.gz" -C "fuzz/corpus/$target" --skip-old-files
  say "fuzz: $target for $seconds s"
  log=fuzz/artifacts/$target/log
  "$TARGET/debug/fuzz-$target" -max_total_time="$seconds" -artifact_prefix="fuzz/artifacts/$target/" \
    -print_final_stats=1 "${options[@]}" "fuzz/corpus/$target" "${seeds[@]}" >"$log" 2>&1 || {
    tail -n 60 "$log" >&2
    die "$target: found something; see above, the input is in fuzz/artifacts/$target"
  }
  grep -E 'DONE|number_of_executed_units' "$log" >&2
  [ -n "$keep" ] || continue
  few=$(mktemp -d)
  "$TARGET/debug/fuzz-$target" -merge=1 "${options[@]}" "$few" "fuzz/corpus/$target" "${seeds[@]}" >>"$log" 2>&1 || {
    tail -n 60 "$log" >&2
    die "$target: what was learnt does not pass"
  }
  mkdir -p fuzz/learnt
  tar -c --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=0644 -C "$few" . | gzip -9n >"fuzz/learnt/$target.tar.gz"
  say "fuzz: kept $(ls "$few" | wc -l) inputs of $target"
  rm -rf "$few"
done
