#!/usr/bin/env bash
# Unpacks the FTP servers the tests run against into one folder, without
# installing any of them: their Debian packages conflict, and an installed one
# would start a service.
#
#   tests/servers/install.sh [FOLDER]
#
# FOLDER defaults to $FERRYWAY_FTP_SERVERS, else to target/ftp-servers of this
# workspace, which is where the tests look. Each server gets FOLDER/<name>, the
# shared libraries they need get FOLDER/lib. Needs apt and python3; needs root
# only to refresh apt's lists. Running it again replaces what is there.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=${1:-${FERRYWAY_FTP_SERVERS:-$here/../../target/ftp-servers}}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# apt drops its rights while it downloads and must still reach the folder.
chmod 755 "$work"

main() {
    if [ "$(id -u)" = 0 ]; then
        DEBIAN_FRONTEND=noninteractive apt-get update -qq
    fi
    unpack vsftpd vsftpd
    unpack proftpd proftpd-core proftpd-mod-crypto
    unpack pure-ftpd pure-ftpd pure-ftpd-common
    unpack_libraries vsftpd proftpd-core proftpd-mod-crypto pure-ftpd
    install_pyftpdlib
    check vsftpd/usr/sbin/vsftpd
    check proftpd/usr/sbin/proftpd
    check pure-ftpd/usr/sbin/pure-ftpd
    echo "FTP servers are in $folder"
}

# unpack NAME PACKAGE...: the packages' files go into FOLDER/NAME.
unpack() {
    local name=$1
    shift
    rm -rf "${work:?}/$name" "${folder:?}/$name"
    mkdir -p "$work/$name" "$folder/$name"
    # A lone package may be absent from a newer release; the check at the end
    # says so if the server cannot do without it.
    (cd "$work/$name" && chmod 777 . && for package in "$@"; do
        apt-get download -qq "$package" || echo "no package $package" >&2
    done)
    local deb
    for deb in "$work/$name"/*.deb; do
        [ ! -e "$deb" ] || dpkg-deb -x "$deb" "$folder/$name"
    done
}

# unpack_libraries PACKAGE...: every shared-library package they depend on,
# directly or through another library, and which this machine does not have.
# The library files themselves go into FOLDER/lib.
unpack_libraries() {
    local wanted=() level=("$@") dependency
    declare -A seen=()
    while [ "${#level[@]}" -gt 0 ]; do
        mapfile -t level < <(library_dependencies "${level[@]}")
        local fresh=()
        for dependency in "${level[@]}"; do
            [ -z "${seen[$dependency]:-}" ] || continue
            seen[$dependency]=1
            installed "$dependency" || fresh+=("$dependency")
        done
        wanted+=("${fresh[@]}")
        level=("${fresh[@]}")
    done
    unpack libraries "${wanted[@]}"
    rm -rf "${folder:?}/lib"
    mkdir "$folder/lib"
    find "$folder/libraries" -path '*-linux-gnu/*.so.*' -exec mv {} "$folder/lib/" \;
    rm -rf "${folder:?}/libraries"
}

library_dependencies() {
    apt-cache depends --no-recommends --no-suggests --no-conflicts --no-breaks \
        --no-replaces --no-enhances "$@" |
        sed -n 's/^ *|\?\(Pre\)\?-\?Depends: \(lib[^ <]*\)$/\2/p' |
        grep -vE '^libpam-(modules|runtime)' | sort -u
}

installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# The packaged pyftpdlib needs Debian's python3. Where that python is too new
# for it, or absent, the one from PyPI goes into an environment of its own.
install_pyftpdlib() {
    local python=/usr/bin/python3 home=$folder/pyftpdlib
    [ -x "$python" ] || python=$(command -v python3)
    unpack pyftpdlib python3-pyftpdlib
    if ! PYTHONPATH=$home/usr/lib/python3/dist-packages "$python" -c 'import pyftpdlib.servers' 2>/dev/null; then
        "$python" -m venv "$home/venv"
        "$home/venv/bin/pip" install -q 'pyftpdlib>=1.5.7,<3'
        python=$home/venv/bin/python
    fi
    ln -sfn "$python" "$home/python"
}

check() {
    local missing
    missing=$(LD_LIBRARY_PATH=$folder/lib ldd "$folder/$1" | grep 'not found' || true)
    if [ -n "$missing" ]; then
        printf '%s lacks shared libraries:\n%s\n' "$1" "$missing" >&2
        exit 1
    fi
}

main
