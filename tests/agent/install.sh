#!/usr/bin/env bash
# Installs what the tests of the cluster files need: the functions of resource agents with
# ocf-tester, and the programs that look scripts, metadata and units over. Needs apt and root;
# where everything is there, it does nothing. With `--look` it installs nothing, and fails with
# what is missing.
#
#   tests/agent/install.sh [--look]
set -euo pipefail

needs=(
    /usr/lib/ocf/lib/heartbeat/ocf-shellfuncs resource-agents
    /usr/sbin/ocf-tester resource-agents
    /usr/bin/xmllint libxml2-utils
    /usr/bin/checkbashisms devscripts
    /usr/bin/shellcheck shellcheck
    /usr/bin/systemd-analyze systemd
    /usr/bin/setpriv util-linux
)

missing=()
for ((i = 0; i < ${#needs[@]}; i += 2)); do
    [ -e "${needs[i]}" ] || missing+=("${needs[i + 1]}")
done
[ "${#missing[@]}" -gt 0 ] || exit 0
if [ "${1:-}" = --look ]; then
    echo "not installed: ${missing[*]}; tests/agent/install.sh installs them" >&2
    exit 1
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
