#!/usr/bin/env bash
# Puts Spring Cloud Netflix's Eureka server into target/eureka (classes/ and lib/), for the end-to-end tests, which start it as a
# process. Does nothing when it is there and no older than its sources. With --image it makes the image of the compose profile `eureka` of
# it as well, where that cannot be built from published images.
# Needs: a JDK 17 and Maven, which fetches about 70 MB; installed where they are missing and may be (root on Debian).
. "$(dirname "$0")/lib.sh"

server=$TARGET/eureka
if [ ! -e "$server/built" ] || [ -n "$(find tests/eureka -newer "$server/built" -type f)" ]; then
  { has mvn && has javac; } || apt_install maven openjdk-17-jdk-headless >/dev/null ||
    die "the tests on Eureka take a JDK 17 and Maven (Debian: apt-get install openjdk-17-jdk-headless maven)"
  say "building the Eureka server"
  mkdir -p "$server"
  # Where Cargo builds elsewhere, so does Maven.
  mvn -q -B -f tests/eureka/pom.xml -Dgray.target="$(cd "$server" && pwd)" compile dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$(cd "$server" && pwd)/lib" >"$server/maven.log" 2>&1 </dev/null || {
    tail -n 20 "$server/maven.log" >&2
    die "Maven could not build the Eureka server"
  }
  touch "$server/built"
fi
say "Eureka server: $server"
if [ "${1:-}" = --image ]; then
  scripts/ensure-images.sh
  work=$(mktemp -d)
  mkdir "$work/built"
  cp -r "$server/classes" "$server/lib" "$work/built"
  cp tests/eureka/Dockerfile "$work"
  # The build's own network may reach no package source: it takes this machine's.
  docker_build --network host --build-arg BUILD=prebuilt -q -t "$EUREKA_IMAGE" "$work" >/dev/null
  rm -rf "$work"
  say "image: $EUREKA_IMAGE"
fi
