#!/bin/sh
# render.sh DIR: kube_deploy.yml for each service in services.txt, filled in, as DIR/SERVICE.yml. Asks no cluster.
# Needs: RELEASE, GRAY_TAG, VERSION (release.sh says them), IMAGE, GRAY_NACOS.
# May have: GRAY_NAMESPACE, KUBE_NAMESPACE (gray-chain), REPLICAS (normal 2, gray 1).
# Exit codes: 0 written; 2 a value is missing, or is none that may stand there.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
out=${1?usage: render.sh DIR}
fail() { echo "render.sh: $1" >&2; exit 2; }

GRAY_NAMESPACE=${GRAY_NAMESPACE-spring-cloud-gray-example}
KUBE_NAMESPACE=${KUBE_NAMESPACE-gray-chain}
case ${RELEASE-} in
normal) REPLICAS=${REPLICAS-2} suffix='' ;;
gray) REPLICAS=${REPLICAS-1} suffix=-gray ;;
*) fail "RELEASE is \`${RELEASE-}\`: expected normal or gray" ;;
esac
case $RELEASE/${GRAY_TAG-} in
normal/false | gray/true) ;;
*) fail "GRAY_TAG is \`${GRAY_TAG-}\`: expected false for normal, true for gray" ;;
esac

fill='' value=''
for name in IMAGE VERSION RELEASE GRAY_TAG GRAY_NACOS GRAY_NAMESPACE KUBE_NAMESPACE REPLICAS; do
  eval "value=\${$name-}"
  # What ends up in YAML and in sed holds nothing that means something there.
  case $value in
  '') fail "$name is missing" ;;
  *[!A-Za-z0-9._:/@,-]*) fail "$name is \`$value\`: expected letters, digits and . _ : / @ , -" ;;
  esac
  fill="$fill -e s|{{$name}}|$value|g"
done
mkdir -p "$out"
while read -r service port; do
  # shellcheck disable=SC2086 # one -e for each value; none has a blank in it
  sed $fill -e "s|{{SERVICE}}|$service|g" -e "s|{{NAME}}|$service$suffix|g" -e "s|{{PORT}}|$port|g" \
    "$here/kube_deploy.yml" | sed '/^#/d' >"$out/$service.yml"
  ! grep -n '{{' "$out/$service.yml" >&2 || fail "kube_deploy.yml has a placeholder that nothing fills"
  echo "rendered $out/$service.yml: $service$suffix, version $VERSION, gray-tag $GRAY_TAG"
done <"$here/services.txt"
