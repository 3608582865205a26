#!/usr/bin/env bash
# The long forms, one after the other: 100,000 messages on each broker, jobs at a real scheduler, 1,000 loads in a browser.
# Needs: what each of them needs, see there. test-seeds.sh [rabbitmq|kafka|jobs|browser ...]; all without.
. "$(dirname "$0")/lib.sh"

[ $# -gt 0 ] || set -- rabbitmq kafka jobs browser
failed=()
for part in "$@"; do
  start=$SECONDS
  say "seeds: $part"
  case $part in
    rabbitmq) GRAY_MESSAGES=${GRAY_MESSAGES:-100000} scripts/test-rabbitmq.sh ;;
    kafka) GRAY_KAFKA_MESSAGES=${GRAY_KAFKA_MESSAGES:-100000} scripts/test-kafka.sh ;;
    jobs) scripts/test-jobs.sh ;;
    browser) scripts/test-browser.sh 1000 ;;
    *) die "no such part: $part; expected rabbitmq, kafka, jobs, browser" ;;
  esac && status=0 || status=$?
  say "seeds: $part ended with $status after $((SECONDS - start)) s"
  [ $status = 0 ] || failed+=("$part")
done
[ ${#failed[@]} = 0 ] || die "failed: ${failed[*]}"
