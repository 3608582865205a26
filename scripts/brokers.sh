# Brokers on this machine, for tests and the demo: `. "$(dirname "$0")/brokers.sh"` after lib.sh.
# shellcheck shell=bash

RABBITMQ_PROGRAMS=/usr/lib/rabbitmq/bin # Debian's; those on the path change to another user

# Debian's rabbitmq-server, unless it is here. Its service is not started.
install_rabbitmq() {
  [ ! -x "$RABBITMQ_PROGRAMS/rabbitmq-server" ] || return 0
  local policy=/usr/sbin/policy-rc.d made=
  if [ "$(id -u)" = 0 ] && [ ! -e "$policy" ]; then
    # The package would start a broker for all.
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    made=1
  fi
  apt_install rabbitmq-server >/dev/null || {
    [ -z "$made" ] || rm -f "$policy"
    die "RabbitMQ is not installed (Debian: apt-get install rabbitmq-server)"
  }
  [ -z "$made" ] || rm -f "$policy"
}

# The Java archives of Kafka (54 MB), once; sets KAFKA_LIB.
fetch_kafka() {
  local broker=$TARGET/kafka
  has java || apt_install openjdk-17-jdk-headless >/dev/null ||
    die "Kafka takes Java 17 (Debian: apt-get install openjdk-17-jdk-headless)"
  if [ ! -e "$broker/fetched" ] || [ adapters/gray-kafka/broker.xml -nt "$broker/fetched" ]; then
    has mvn || apt_install maven >/dev/null || die "Kafka is fetched by Maven (Debian: apt-get install maven)"
    say "fetching the Kafka broker"
    mkdir -p "$broker"
    mvn -q -B -f adapters/gray-kafka/broker.xml dependency:copy-dependencies -DincludeScope=runtime \
      -DoutputDirectory="$(cd "$broker" && pwd)/lib" >"$broker/maven.log" 2>&1 </dev/null || {
      tail -n 20 "$broker/maven.log" >&2
      die "Maven could not fetch the Kafka broker"
    }
    touch "$broker/fetched"
  fi
  KAFKA_LIB=$(cd "$broker/lib" && pwd)
}

# port_of_ours: a port on which nothing listens, and none of the next two.
port_of_ours() {
  local port listens
  for port in $(seq 17100 10 17990); do
    listens=
    for one in "$port" $((port + 1)) $((port + 2)); do
      ! (exec 3<>"/dev/tcp/127.0.0.1/$one") 2>/dev/null || listens=1
    done
    [ -n "$listens" ] || {
      echo "$port"
      return
    }
  done
  die "no port from 17100 to 17990 is free"
}

# start_broker kafka|rabbitmq: a broker for this script alone, on 127.0.0.1, with its data in a new folder; waits until it listens.
# Sets BROKER_ADDRESS; ends with stop_broker, or with this script. Needs grayctl, which ties it to the script.
start_broker() {
  BROKER_KIND=$1 BROKER_HOME=$(mktemp -d) BROKER_PID= BROKER_PORT=$(port_of_ours)
  trap stop_broker EXIT
  "start_$1"
  in_time 120 eval "kill -0 $BROKER_PID && (exec 3<>/dev/tcp/127.0.0.1/$BROKER_PORT)" || {
    tail -n 20 "$BROKER_HOME/log" >&2
    die "$1 did not start"
  }
}

# In a session of its own, so that a Ctrl-C is not for it: it is stopped last.
broker_process() {
  local apart=()
  ! has setsid || apart=(setsid)
  ${apart[@]+"${apart[@]}"} "$TARGET/debug/grayctl" tied $$ -- "$@" >"$BROKER_HOME/log" 2>&1 </dev/null &
  BROKER_PID=$!
}

start_kafka() {
  local properties=$BROKER_HOME/server.properties controller=$((BROKER_PORT + 1)) id
  local java=(java -Xmx512m -XX:TieredStopAtLevel=1 -cp "$KAFKA_LIB/*")
  cat >"$properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$BROKER_PORT,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$BROKER_PORT
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$BROKER_HOME/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
END
  id=$("${java[@]}" kafka.tools.StorageTool random-uuid 2>/dev/null)
  "${java[@]}" kafka.tools.StorageTool format -t "$id" -c "$properties" >"$BROKER_HOME/log" 2>&1 ||
    die "the storage of Kafka could not be made: $(tail -n 5 "$BROKER_HOME/log")"
  broker_process "${java[@]}" kafka.Kafka "$properties"
  BROKER_ADDRESS=127.0.0.1:$BROKER_PORT
}

start_rabbitmq() {
  echo '[].' >"$BROKER_HOME/plugins"
  export ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT=$((BROKER_PORT + 2))
  broker_process env HOME="$BROKER_HOME" RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_CONFIG_FILE="$BROKER_HOME/none" \
    RABBITMQ_ENABLED_PLUGINS_FILE="$BROKER_HOME/plugins" RABBITMQ_MNESIA_BASE="$BROKER_HOME/db" \
    RABBITMQ_LOG_BASE="$BROKER_HOME/logs" RABBITMQ_PID_FILE="$BROKER_HOME/pid" RABBITMQ_NODENAME="gray$BROKER_PORT@localhost" \
    RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT="$BROKER_PORT" RABBITMQ_DIST_PORT=$((BROKER_PORT + 1)) \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1} +sbwt none" \
    "$RABBITMQ_PROGRAMS/rabbitmq-server"
  BROKER_ADDRESS=amqp://guest:guest@127.0.0.1:$BROKER_PORT/%2f
}

stop_broker() {
  local pid=$BROKER_PID
  # The node itself: the script around it ends with it.
  [ ! -s "$BROKER_HOME/pid" ] || pid=$(cat "$BROKER_HOME/pid")
  if [ -n "$pid" ] && kill -TERM "$pid" 2>/dev/null; then
    in_time 20 eval "! kill -0 $BROKER_PID" || kill -KILL "$pid" "$BROKER_PID" 2>/dev/null || :
  fi
  # Erlang's name server outlives the node otherwise.
  [ "$BROKER_KIND" != rabbitmq ] || epmd -kill >/dev/null 2>&1 || :
  rm -rf "$BROKER_HOME"
}
