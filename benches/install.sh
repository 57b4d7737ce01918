#!/usr/bin/env bash
# Installs the programs that Ferryway is measured beside, and those that measure. Needs apt and root;
# where everything is there, it does nothing. What is missing in the end is left out of the
# measurements. vsftpd is unpacked by tests/servers/install.sh.
#
#   benches/install.sh
set -euo pipefail

needs=(
    /usr/bin/curl curl
    /usr/bin/lftp lftp
    /usr/bin/ncftpput ncftp
    /usr/bin/rclone rclone
    /usr/bin/rsync rsync
    /usr/bin/time time
    /usr/bin/python3 python3
    /usr/bin/unshare util-linux
    /usr/bin/cmp diffutils
    /usr/bin/xargs findutils
    /bin/ip iproute2
    /bin/ping iputils-ping
)

missing=()
for ((i = 0; i < ${#needs[@]}; i += 2)); do
    [ -e "${needs[i]}" ] || missing+=("${needs[i + 1]}")
done
if [ "${#missing[@]}" -gt 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # Each by itself: a release may lack one of them.
    for package in "${missing[@]}"; do
        apt-get install -y -qq --no-install-recommends "$package" >/dev/null ||
            echo "no package $package here" >&2
    done
fi
