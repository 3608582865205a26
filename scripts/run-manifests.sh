#!/usr/bin/env bash
# Runs what the overlays of deploy/k8s render to as containers of this machine, on a real Nacos, with what their pods are
# allowed and no more; run_manifests.py has the details. About a minute.
# Needs: Docker (ensure-docker.sh), gray-chain:dev (build-image.sh), Python, Go. Containers end with it.
. "$(dirname "$0")/lib.sh"

scripts/ensure-docker.sh
scripts/ensure-images.sh
docker image inspect "$OUR_IMAGE" >/dev/null 2>&1 || scripts/build-image.sh
scripts/check-deploy.sh --quick
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for release in normal gray; do
  target/tools/kustomize build "deploy/k8s/overlays/$release" >"$work/$release.yaml"
done
say "running them"
target/tools/deploy-venv/bin/python scripts/run_manifests.py "$NACOS_IMAGE" "$work/normal.yaml" "$work/gray.yaml"
