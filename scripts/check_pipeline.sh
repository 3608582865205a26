#!/usr/bin/env bash
# check_pipeline.sh DIR: the scripts of deploy/gitlab refuse what they must, and `sed` alone, as a plain pipeline has it,
# comes to what render.sh writes. DIR has what was rendered from tag_gray_1.4.0 in gitlab-gray. Asks nothing of the network.
. "$(dirname "$0")/lib.sh"
work=$1
scripts=deploy/gitlab/scripts

# ends CODE TEXT COMMAND...: with this exit code, and this text in what it says.
ends() {
  local want=$1 text=$2 said code=0
  shift 2
  said=$("$@" 2>&1) || code=$?
  [ "$code" = "$want" ] || die "$*: ended with $code instead of $want: $said"
  [[ $said == *"$text"* ]] || die "$*: said no \`$text\`: $said"
}

ends 0 $'RELEASE=gray\nGRAY_TAG=true\nVERSION=1.4.0' $scripts/release.sh tag_gray_1.4.0
ends 0 $'RELEASE=normal\nGRAY_TAG=false\nVERSION=2026-11-29' $scripts/release.sh tag_normal_2026-11-29
for tag in '' v1.4.0 tag_gray tag_blue_1 TAG_GRAY_1 xtag_gray_1; do
  ends 2 'is not the tag of a release' $scripts/release.sh "$tag"
done
# shellcheck disable=SC2016 # as a hostile tag has it
for tag in tag_gray_ tag_gray_-1 tag_gray_1. 'tag_gray_1|e id' 'tag_gray_$(id)' 'tag_gray_1/2' $'tag_gray_1\nIMAGE=x' tag_normal_1+2; do
  ends 2 'is not a version' $scripts/release.sh "$tag"
done
ends 2 'at most 63' $scripts/release.sh "tag_gray_$(printf '1%.0s' {1..64})"

good=(RELEASE=gray GRAY_TAG=true VERSION=1.4.0 IMAGE=registry.example.com/gray-chain:1.4.0 GRAY_NACOS=nacos:8848)
while read -r change text; do
  ends 2 "$text" env "${good[@]}" "$change" $scripts/render.sh "$work/refused"
done <<'BAD'
RELEASE=canary expected normal or gray
RELEASE=normal expected false for normal
GRAY_TAG=false expected false for normal, true for gray
GRAY_TAG= expected false for normal, true for gray
VERSION= VERSION is missing
VERSION=1|x expected letters, digits
IMAGE= IMAGE is missing
IMAGE=a&b expected letters, digits
GRAY_NACOS= GRAY_NACOS is missing
GRAY_NACOS=nacos:8848"; expected letters, digits
KUBE_NAMESPACE=a{{b expected letters, digits
REPLICAS= REPLICAS is missing
BAD

# The form of a plain pipeline: sed, and nothing else.
sed -e 's|{{NAME}}|order-app-gray|g' -e 's|{{SERVICE}}|order-app|g' -e 's|{{PORT}}|7100|g' -e 's|{{RELEASE}}|gray|g' \
  -e 's|{{REPLICAS}}|1|g' -e 's|{{VERSION}}|1.4.0|g' -e 's|{{GRAY_TAG}}|true|g' \
  -e 's|{{IMAGE}}|registry.example.com/gray-chain:1.4.0|g' -e 's|{{KUBE_NAMESPACE}}|gray-chain|g' \
  -e 's|{{GRAY_NACOS}}|nacos:8848|g' -e 's|{{GRAY_NAMESPACE}}|spring-cloud-gray-example|g' \
  deploy/gitlab/kube_deploy.yml | sed '/^#/d' | diff - "$work/gitlab-gray/order-app.yml" >&2 || die "sed alone comes to something else"

# Without a gateway the gate does not open, whatever the reason.
PATH=$work/none:$PATH ends 2 '' env -u GATEWAY $scripts/gate.sh
