#!/usr/bin/env bash
# Installs what the cluster laboratory needs: corosync, Pacemaker, keepalived,
# nbdkit and their tools. None of them is started on this machine; the laboratory
# starts its own in namespaces. Needs apt and root; where everything is there,
# it does nothing. With `--look` it installs nothing, and fails with what is
# missing.
#
#   tests/cluster/install.sh [--look]
set -euo pipefail

needs=(
    /usr/sbin/corosync corosync
    /usr/sbin/pacemakerd pacemaker
    /usr/sbin/crm_mon pacemaker-cli-utils
    /usr/sbin/crm crmsh
    /usr/lib/ocf/resource.d/heartbeat/IPaddr2 resource-agents
    /usr/sbin/fence_heuristics_ping fence-agents
    /usr/sbin/keepalived keepalived
    /usr/bin/bindfs bindfs
    /usr/sbin/mkfs.ext4 e2fsprogs
    /usr/bin/nsenter util-linux
    /usr/bin/nbdfuse libnbd-bin
    "/usr/lib/$(uname -m)-linux-gnu/nbdkit/plugins/nbdkit-python-plugin.so" nbdkit-plugin-python
    /usr/bin/python3 python3
    /usr/bin/xmllint libxml2-utils
    /usr/sbin/losetup mount
    /bin/ip iproute2
    /bin/ping iputils-ping
)
# What a package asks before it starts its service.
policy=/usr/sbin/policy-rc.d

missing=()
for ((i = 0; i < ${#needs[@]}; i += 2)); do
    [ -e "${needs[i]}" ] || missing+=("${needs[i + 1]}")
done
[ "${#missing[@]}" -gt 0 ] || exit 0
if [ "${1:-}" = --look ]; then
    echo "not installed: ${missing[*]}; tests/cluster/install.sh installs them" >&2
    exit 1
fi

if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
