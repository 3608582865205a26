#!/bin/sh
# release.sh TAG: what a Git tag means, as lines NAME=value (a dotenv report).
#   tag_gray_1.4.0    1.4.0 beside the ordinary version, registered with gray-tag=true
#   tag_normal_1.4.0  1.4.0 as the ordinary version
# Exit codes: 0 said; 2 no tag of a release.
set -eu
case ${1-} in
tag_gray_*) release=gray gray_tag=true version=${1#tag_gray_} ;;
tag_normal_*) release=normal gray_tag=false version=${1#tag_normal_} ;;
*) echo "release.sh: \`${1-}\` is not the tag of a release: expected tag_gray_VERSION or tag_normal_VERSION" >&2; exit 2 ;;
esac
# It is a label of Kubernetes, a tag of an image, and what rules may select.
case $version in
'' | *[!A-Za-z0-9._-]* | [!A-Za-z0-9]* | *[!A-Za-z0-9])
  echo "release.sh: \`$version\` is not a version: expected letters, digits and . _ - between them" >&2; exit 2 ;;
esac
[ ${#version} -le 63 ] || { echo "release.sh: a version has at most 63 characters" >&2; exit 2; }
printf 'RELEASE=%s\nGRAY_TAG=%s\nVERSION=%s\n' "$release" "$gray_tag" "$version"
