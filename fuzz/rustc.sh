#!/bin/sh
# rustc for scripts/fuzz.sh: our own crates get the coverage counters that libFuzzer reads, dependencies stay as they are.
rustc=$1
shift
case " $* " in
  *" --crate-name gray_"* | *" --crate-name fuzz_"*)
    exec "$rustc" "$@" --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
      -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
      -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0
    ;;
  *) exec "$rustc" "$@" ;;
esac
