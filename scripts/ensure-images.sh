#!/usr/bin/env bash
# Makes sure that the published images we run on are here: Debian (the base of ours) and Nacos 2.3.2; by name also `kafka`, `rabbitmq`.
# Each is, in this order: already local; pulled; made from packages under the same name, where no image can be pulled.
# Needs: a Docker engine (ensure-docker.sh). Made from packages: root on Debian, debootstrap (installed), Maven.
# PULL_TIMEOUT: seconds for a pull (180). OFFLINE=1: do not try to pull.
. "$(dirname "$0")/lib.sh"
. scripts/brokers.sh

present() { docker image inspect "$1" >/dev/null 2>&1; }

pull() {
  [ "${OFFLINE:-0}" = 0 ] || return 1
  say "pulling $1"
  timeout "${PULL_TIMEOUT:-180}" docker pull -q "$1" >&2 || {
    say "cannot pull $1: making it from packages"
    return 1
  }
}

# Where this machine gets Debian 12's packages; nothing before the first `apt-get update`.
package_source() {
  # shellcheck disable=SC2016 # apt fills it in
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' | sed -n 1p
}

# A Debian of its own from this machine's package source.
make_base() {
  local work mirror
  if [ "$(id -u)" != 0 ] || ! has apt-get; then
    die "$BASE_IMAGE cannot be pulled, and making it takes root on Debian: give this machine access to an image
       registry, or load the image (docker load)"
  fi
  has debootstrap || apt_install debootstrap >/dev/null
  mirror=$(package_source)
  [ -n "$mirror" ] || { apt-get update -q >&2 && mirror=$(package_source); }
  [ -n "$mirror" ] || die "this machine's apt sources name no bookworm repository"
  work=$(mktemp -d)
  say "making $BASE_IMAGE with debootstrap"
  debootstrap --variant=minbase bookworm "$work" "$mirror" >"$TARGET/debootstrap.log" 2>&1 || {
    tail -n 20 "$TARGET/debootstrap.log" >&2
    die "debootstrap failed"
  }
  # The package lists and archives are of no use in an image; the slim one has no manuals either.
  rm -rf "$work"/var/cache/apt/*.bin "$work"/var/cache/apt/archives/*.deb "$work"/var/lib/apt/lists/* \
    "$work"/usr/share/{doc,man,locale,info}/* "$work"/var/log/*.log
  tar -C "$work" -c . | docker import --change 'CMD ["bash"]' - "$BASE_IMAGE" >/dev/null
  rm -rf "$work"
}

# The real Nacos from its Java archives, on that Debian.
make_nacos() {
  local work
  has mvn || apt_install maven >/dev/null || die "$NACOS_IMAGE cannot be pulled, and making it takes Maven (mvn)"
  work=$(mktemp -d)
  say "making $NACOS_IMAGE from its Java archives"
  cp deploy/docker/nacos/* "$work"
  cat >"$work/pom.xml" <<'POM'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>gray-chain</groupId><artifactId>nacos-image</artifactId><version>1</version>
  <dependencies>
    <!-- The official 2.3.2, console included. -->
    <dependency>
      <groupId>org.jeecgframework.nacos</groupId><artifactId>nacos-console</artifactId><version>2.3.2</version>
    </dependency>
    <!-- Must be found before the other hessian: see start.sh. -->
    <dependency><groupId>com.caucho</groupId><artifactId>hessian</artifactId><version>4.0.63</version></dependency>
  </dependencies>
</project>
POM
  (cd "$work" && mvn -B -q dependency:copy-dependencies -DoutputDirectory=lib) >"$TARGET/nacos-jars.log" 2>&1 </dev/null || {
    tail -n 20 "$TARGET/nacos-jars.log" >&2
    die "Maven could not get the archives of Nacos"
  }
  # The build's own network may reach no package source: it takes this machine's.
  docker_build --network host -q -t "$NACOS_IMAGE" "$work" >/dev/null
  rm -rf "$work"
}

# A broker on that Debian: its archives or package, under the published name.
make_kafka() {
  local work
  fetch_kafka
  work=$(mktemp -d)
  say "making $KAFKA_IMAGE from its Java archives"
  cp deploy/docker/kafka/* "$work"
  cp -r "$KAFKA_LIB" "$work/lib"
  docker_build --network host -q -t "$KAFKA_IMAGE" "$work" >/dev/null
  rm -rf "$work"
}

make_rabbitmq() {
  say "making $RABBITMQ_IMAGE from Debian's package"
  docker_build --network host -q -t "$RABBITMQ_IMAGE" deploy/docker/rabbitmq >/dev/null
}

mkdir -p "$TARGET"
present "$BASE_IMAGE" || pull "$BASE_IMAGE" || make_base
present "$NACOS_IMAGE" || pull "$NACOS_IMAGE" || make_nacos
made="$BASE_IMAGE, $NACOS_IMAGE"
for broker in "$@"; do
  case $broker in
    kafka) image=$KAFKA_IMAGE ;;
    rabbitmq) image=$RABBITMQ_IMAGE ;;
    *) continue ;;
  esac
  present "$image" || pull "$image" || "make_$broker"
  made="$made, $image"
done
say "images: $made"
