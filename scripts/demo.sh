#!/usr/bin/env bash
# The chain as five processes on this machine, without Docker or Nacos: builds, starts, shows, stays until Ctrl-C.
# Needs: Rust. Arguments go to `grayctl demo`. `--with kafka` and `--with rabbitmq` start the broker first, on a port that is free, and stop it
# at the end: that takes Java 17 and Maven, or Debian's rabbitmq-server, which are installed where they are missing and may be. With an
# address (`--with kafka=HOST:PORT`) that broker is used. `--with jobs`: scheduled jobs.
. "$(dirname "$0")/lib.sh"
. scripts/brokers.sh

what=(-p gray-gateway -p order-app -p user-app -p grayctl)
args=() broker=
while [ $# -gt 0 ]; do
  with=
  case $1 in
    --with)
      with=${2:-}
      [ $# -lt 2 ] || shift
      ;;
    --with=*) with=${1#--with=} ;;
    *) args+=("$1") ;;
  esac
  shift
  case $with in
    '') continue ;;
    jobs | jobs=*) what+=(-p gray-xxl-job --bins --example view_orders) ;;
    kafka | kafka=* | rabbitmq | rabbitmq=*)
      name=${with%%=*}
      what+=(-p audit-app --features "order-app/$name,audit-app/$name")
      if [ "$with" = "$name" ]; then
        [ -z "$broker" ] || die "--with kafka and --with rabbitmq exclude each other: order-app tells one broker"
        broker=$name
        continue
      fi
      ;;
  esac
  args+=("--with=$with")
done

# All in one build: built apart, each program would have the dependencies compiled with features of its own.
cargo build --locked "${what[@]}"
[ -n "$broker" ] || exec "$TARGET/debug/grayctl" demo ${args[@]+"${args[@]}"}

case $broker in
  kafka) fetch_kafka ;;
  rabbitmq) install_rabbitmq ;;
esac
say "starting $broker"
start_broker "$broker"
"$TARGET/debug/grayctl" demo ${args[@]+"${args[@]}"} "--with=$broker=$BROKER_ADDRESS" &
demo=$!
trap 'kill -TERM "$demo" 2>/dev/null || :' INT TERM HUP QUIT
# A signal ends the wait before the demo has ended.
while
  status=0
  wait "$demo" || status=$?
  kill -0 "$demo" 2>/dev/null
do :; done
exit "$status"
