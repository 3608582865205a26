#!/bin/sh
# apply.sh DIR: hands what render.sh wrote to Kubernetes and waits until it runs. What does not is taken back.
# Needs: kubectl with access to the namespace (KUBE_NAMESPACE, gray-chain). May have: ROLLOUT_TIMEOUT (300s).
# Exit codes: 0 it runs; 1 it does not, and what ran before does again.
set -eu
dir=${1?usage: apply.sh DIR}
namespace=${KUBE_NAMESPACE-gray-chain}
status=0
kubectl apply -f "$dir"
for name in $(kubectl -n "$namespace" get -f "$dir" -o name | grep ^deployment); do
  kubectl -n "$namespace" rollout status "$name" --timeout "${ROLLOUT_TIMEOUT-300s}" && continue
  echo "apply.sh: $name does not get ready: taking it back" >&2
  kubectl -n "$namespace" rollout undo "$name" || true # the first revision has none before it
  status=1
done
exit $status
