#!/usr/bin/env bash
# Starts Nacos in the stand-in image, understanding these variables of the published one:
#   MODE=standalone|cluster   JVM_XMS JVM_XMX JVM_XMN   NACOS_AUTH_ENABLE NACOS_AUTH_TOKEN NACOS_AUTH_IDENTITY_KEY NACOS_AUTH_IDENTITY_VALUE
#   for a cluster: NACOS_SERVERS="n1:8848 n2:8848 ..."   EMBEDDED_STORAGE=embedded   PREFER_HOST_MODE=hostname
set -euo pipefail
home=/home/nacos
jvm=(-Xms"${JVM_XMS:-256m}" -Xmx"${JVM_XMX:-512m}")
[ -z "${JVM_XMN:-}" ] || jvm+=(-Xmn"$JVM_XMN")
opts=(
  -Dnacos.home="$home"
  -Dnacos.core.auth.enabled="${NACOS_AUTH_ENABLE:-false}"
  -Dnacos.core.auth.system.type=nacos
)
[ -z "${NACOS_AUTH_TOKEN:-}" ] || opts+=(-Dnacos.core.auth.plugin.nacos.token.secret.key="$NACOS_AUTH_TOKEN")
[ -z "${NACOS_AUTH_IDENTITY_KEY:-}" ] || opts+=(-Dnacos.core.auth.server.identity.key="$NACOS_AUTH_IDENTITY_KEY")
[ -z "${NACOS_AUTH_IDENTITY_VALUE:-}" ] || opts+=(-Dnacos.core.auth.server.identity.value="$NACOS_AUTH_IDENTITY_VALUE")
if [ "${MODE:-cluster}" = standalone ]; then
  opts+=(-Dnacos.standalone=true)
else
  servers=${NACOS_SERVERS:-}
  mkdir -p $home/conf
  [ -z "$servers" ] || tr ' ' '\n' <<<"$servers" >$home/conf/cluster.conf
  opts+=(-Dnacos.standalone=false -Dnacos.member.list="${servers// /,}")
  [ "${EMBEDDED_STORAGE:-}" != embedded ] || opts+=(-DembeddedStorage=true)
  [ "${PREFER_HOST_MODE:-}" != hostname ] || opts+=(-Dnacos.preferHostnameOverIp=true)
fi
# Two archives hold the same hessian classes; Nacos works with the one named first here.
exec java "${jvm[@]}" "${opts[@]}" -cp "$home/lib/hessian-4.0.63.jar:$home/lib/*" com.alibaba.nacos.Nacos
