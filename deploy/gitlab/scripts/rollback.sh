#!/bin/sh
# rollback.sh gray|normal: gray: its instances leave in order, and gray users get the ordinary version (the lane's
# fallback). normal: the Deployments go back to the revision before.
# Needs: kubectl. May have: KUBE_NAMESPACE (gray-chain), ROLLOUT_TIMEOUT (300s).
# Exit codes: 0 done; 1 kubectl failed; 2 wrong usage.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
namespace=${KUBE_NAMESPACE-gray-chain}
case ${1-} in gray | normal) ;; *) echo "usage: rollback.sh gray|normal" >&2; exit 2 ;; esac
while read -r service _; do
  case $1 in
  gray) kubectl -n "$namespace" delete deployment,poddisruptionbudget "$service-gray" --ignore-not-found || exit 1 ;;
  normal)
    kubectl -n "$namespace" rollout undo "deployment/$service" || exit 1
    kubectl -n "$namespace" rollout status "deployment/$service" --timeout "${ROLLOUT_TIMEOUT-300s}" || exit 1
    ;;
  esac
done <"$here/services.txt"
