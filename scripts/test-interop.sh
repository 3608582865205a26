#!/usr/bin/env bash
# Java, Python, Node and axum services in one chain with ours, on a real Nacos or Eureka: test-interop.sh [--short] [--requests N] [STACK...]
# (java-boot35, java-boot40, java-eureka, python, node, axum). `interop --help` names the options.
# Needs: Rust, Docker or root on Debian (ensure-docker.sh), a JDK 17 and Maven, Python 3.11, Node 20. A language whose tools are
# missing is an error, unless others are named.
. "$(dirname "$0")/lib.sh"

stacks=()
for word in "$@"; do
  case $word in java-boot35 | java-boot40 | java-eureka | python | node | axum) stacks+=("$word") ;; esac
done
[ ${#stacks[@]} -gt 0 ] || stacks=(java-boot35 java-boot40 java-eureka python node axum)

# Nacos is a container, Eureka a process.
if [ "${stacks[*]}" != java-eureka ]; then
  scripts/ensure-docker.sh
  scripts/ensure-images.sh
fi
for stack in "${stacks[@]}"; do
  # Built with ours.
  [ "$stack" != axum ] || continue
  say "building examples/$stack"
  [ "$stack" != java-eureka ] || scripts/ensure-eureka.sh
  case $stack in
    java-*)
      has mvn || die "no Maven here (Debian: apt-get install openjdk-17-jdk-headless maven)"
      mvn -q -B -f "examples/$stack/pom.xml" process-classes
      ;;
    python)
      python3 -m venv examples/python/.venv || die "no Python with venv here (Debian: apt-get install python3-venv)"
      examples/python/.venv/bin/pip install -q --disable-pip-version-check -r examples/python/requirements.txt
      ;;
    node)
      has npm || die "no npm here (Debian: apt-get install nodejs npm)"
      (cd examples/node && npm ci --no-audit --no-fund --loglevel=error)
      ;;
  esac
done
# The peer of java-boot35, which the short form leaves out.
case " $* " in
  *' --short '*) ;;
  *) [[ " ${stacks[*]} " != *' java-boot35 '* ]] || mvn -q -B -f examples/java-gateway/pom.xml process-classes ;;
esac
# The whole workspace, as the tests have it: built apart, most dependencies would be compiled twice.
say "building ours"
cargo build --locked -q --workspace --features "$BROKERS" --bins --tests
exec "$TARGET/debug/interop" "$@"
