#!/usr/bin/env bash
# Ferryway, curl and lftp side by side, against one vsftpd on this machine; and Ferryway
# to Ferryway by socket, beside raw copies.
#
#   benches/compare.sh [--rounds N] [--quick] [--dir FOLDER] [--only ftp|socket|line]
#
# Prints a table for each case: 1 GiB up and down, 2,000 files of 10 KiB up and down, by
# FTP and by socket. README.md in this folder says what is measured and how.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(dirname "$here")
servers=${FERRYWAY_FTP_SERVERS:-$project/target/ftp-servers}
programs=${FERRYWAY_PROGRAMS:-${CARGO_TARGET_DIR:-$project/target}/release}
rounds=5
big_mib=1024
small_last=1999
parent=${TMPDIR:-/tmp}
kinds=(ftp socket)

while [ $# -gt 0 ]; do
    case $1 in
        --rounds) rounds=$2 && shift ;;
        --quick) rounds=1 big_mib=64 small_last=0199 ;;
        --dir) parent=$2 && shift ;;
        --only) kinds=("$2") && shift ;;
        *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    esac
    shift
done

work=$(mktemp -d "$parent/ferryway-bench.XXXXXX")
# Clients find nothing of the user's own settings.
export HOME=$work/home
root=$work/root source=$work/source got=$work/got install=$work/install
export FERRYWAY_DIR=$install FERRYWAY_RUN_DIR=$work/run
port='' server='' host=''
clients=(curl lftp)

# shellcheck source=benches/socket.sh
. "$here/socket.sh"
# shellcheck source=benches/line.sh
. "$here/line.sh"

main() {
    local kind round
    prepare_data
    for kind in "${kinds[@]}"; do
        "begin_$kind"
    done
    for ((round = 1; round <= rounds; round++)); do
        for kind in "${kinds[@]}"; do
            "${kind}_round" "$round"
        done
    done
    describe
    python3 "$here/measure.py" table "$work/results"
    describe_deaths
}

begin_ftp() {
    start_server
    if has_ferryway; then
        start_ferryway && clients+=(dialogue least ferryway)
    fi
}

begin_socket() {
    has_ferryway && start_socket
}

has_ferryway() {
    [ -x "$programs/ferryway" ] && [ -x "$programs/ftprel" ] && [ -x "$programs/raw-copy" ] && return
    echo "not all of ferryway, ftprel and raw-copy are in $programs: build them with cargo build --release --workspace" >&2
    return 1
}

ftp_round() {
    local case client
    for case in big_up big_down small_up small_down; do
        for client in "${clients[@]}"; do
            declare -F "${client}_$case" >/dev/null || continue
            echo "round $1 of $rounds: $case, $client" >&2
            one_run "$case" "$client"
        done
    done
}

socket_round() {
    local case client way
    for case in "${socket_cases[@]}"; do
        for client in $(socket_clients "$case"); do
            echo "round $1 of $rounds: $case by socket, $client" >&2
            socket_run "$case" "$client"
        done
    done
    for client in night tls; do
        for way in up down; do
            echo "round $1 of $rounds: death of $client on the way $way" >&2
            socket_death "$client" "$way"
        done
    done
}

# A run starts without its result being there and with nothing waiting to be
# written, and counts only when what arrived is identical.
one_run() {
    local case=$1 client=$2
    # Emptied, not replaced: a running host may hold on to the folder.
    find "$root/up" "$got" -mindepth 1 -delete
    sync
    "${client}_$case" "$case"
    case $case in
        big_up) cmp "$source/big" "$root/up/big" ;;
        big_down) cmp "$source/big" "$got/big" ;;
        small_up) diff -r -x .ferryway "$source/small" "$root/up" ;;
        small_down) diff -r -x .ferryway "$source/small" "$got" ;;
    esac
}

# measure CASE CLIENT COMMAND...
measure() {
    local case=$1 client=$2
    shift 2
    python3 "$here/measure.py" run "$work/results" "${titles[$case]}" "$client" -- "$@"
}

curl_big_up() { measure "$1" curl curl -sS -T "$source/big" "$url/up/"; }
curl_big_down() { measure "$1" curl curl -sS -o "$got/big" "$url/stock/big"; }
# Four at a time, as lftp's: one at a time curl now and then sleeps for a tenth of
# a second between two files. It prints a progress meter even when silent.
curl_small_up() {
    measure "$1" curl curl -sS -Z --parallel-max 4 \
        -T "$source/small/f[0000-$small_last]" "$url/up/" 2>"$work/curl.out"
}
curl_small_down() {
    measure "$1" curl curl -sS -Z --parallel-max 4 \
        -o "$got/f#1" "$url/stock/small/f[0000-$small_last]" 2>"$work/curl.out"
}

lftp_big_up() { lftp_run "$1" "put -O up $source/big"; }
lftp_big_down() { lftp_run "$1" "get -O $got stock/big"; }
lftp_small_up() { lftp_run "$1" "mirror -R -P4 $source/small up"; }
lftp_small_down() { lftp_run "$1" "mirror -P4 stock/small $got"; }
lftp_run() {
    measure "$1" lftp lftp --norc -c \
        "set cmd:fail-exit yes; set net:max-retries 1; set ftp:ssl-allow no; open $url; $2"
}

# No more than what such files cost the server and the system: raw/src/dialogue.rs.
dialogue_small_up() { dialogue_up "$1" dialogue; }
dialogue_small_down() { dialogue_down "$1" dialogue; }
least_small_up() { dialogue_up "$1" least --least; }
least_small_down() { dialogue_down "$1" least --least; }
dialogue_up() {
    measure "$1" "$2" "$programs/raw-copy" dialogue up "$port" "$work/sent" up "${@:3}"
}
dialogue_down() {
    measure "$1" "$2" "$programs/raw-copy" dialogue down "$port" "$work/wanted" stock/small "${@:3}"
}

ferryway_big_up() { ferryway_up "$1" "$source/big"; }
ferryway_small_up() { ferryway_up "$1" --from-file "$work/sent"; }
ferryway_big_down() { ferryway_down "$1" stock/ "$got/big"; }
ferryway_small_down() { ferryway_down "$1" stock/small/ --from-file "$work/wanted"; }
ferryway_up() { ferryway_run "$1" BENCHU "${@:2}"; }
ferryway_down() { ferryway_run "$1" BENCHD --remote "$2" "${@:3}"; }
# Each file is a job of its own, durable before ftprel says that it is accepted.
ferryway_run() {
    local case=$1
    shift
    python3 "$here/measure.py" run "$work/results" "${titles[$case]}" ferryway --service "$host" -- \
        "$programs/ftprel" --json submit --wait "$@" >"$work/ftprel.out"
}

prepare_data() {
    mkdir -p "$HOME" "$root/stock" "$root/up" "$source/small" "$got" "$work/run"
    python3 - "$source" "$big_mib" "$((10#$small_last))" <<'PYTHON'
import random, sys
folder, mib, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
noise = random.Random(1)
with open(f"{folder}/big", "wb") as file:
    for _ in range(mib):
        file.write(noise.randbytes(1 << 20))
for number in range(last + 1):
    with open(f"{folder}/small/f{number:04}", "wb") as file:
        file.write(noise.randbytes(10 * 1024))
PYTHON
    cp -r "$source/." "$root/stock/"
    find "$source/small" -type f | sort >"$work/sent"
    sed "s|^$source/small|$got|" "$work/sent" >"$work/wanted"
    local count=$((10#$small_last + 1))
    declare -gA titles=(
        [big_up]="$big_mib MiB up" [big_down]="$big_mib MiB down"
        [small_up]="$count files of 10 KiB up" [small_down]="$count files of 10 KiB down"
    )
}

start_server() {
    local vsftpd=$servers/vsftpd/usr/sbin/vsftpd
    [ -x "$vsftpd" ] || vsftpd=$(PATH=$PATH:/usr/sbin command -v vsftpd) || {
        echo "no vsftpd: run tests/servers/install.sh" >&2
        exit 1
    }
    port=$(free_port vsftpd)
    mkdir -p "$work/empty"
    cat >"$work/vsftpd.conf" <<CONFIG
listen=YES
listen_address=127.0.0.1
listen_port=$port
background=NO
run_as_launching_user=YES
ftp_username=nobody
anonymous_enable=YES
local_enable=NO
anon_root=$root
write_enable=YES
anon_upload_enable=YES
anon_mkdir_write_enable=YES
anon_other_write_enable=YES
anon_world_readable_only=NO
anon_umask=022
allow_writeable_chroot=YES
secure_chroot_dir=$work/empty
seccomp_sandbox=NO
xferlog_enable=NO
CONFIG
    chmod 600 "$work/vsftpd.conf"
    LD_LIBRARY_PATH=$servers/lib "$vsftpd" "$work/vsftpd.conf" >"$work/vsftpd.out" 2>&1 &
    server=$!
    url=ftp://127.0.0.1:$port
    await "vsftpd" "$work/vsftpd.out" curl -sS -o /dev/null "$url/"
}

start_ferryway() {
    mkdir -p "$install"/{definitions,plugins,journal,logs,exits,tools/master}
    cp "$programs"/libferryway_*.so "$install/plugins/"
    # As many sessions as the others have connections.
    cat >"$install/ferryway.toml" <<CONFIG
[instance]
name = "bench"
[roots]
send = ["$source"]
receive = ["$got"]
[partners.vsftpd]
transport = "ftp"
host = "127.0.0.1"
port = $port
user = "anonymous"
password = "bench"
tls = "off"
sessions = 4
CONFIG
    cat >"$install/definitions/bench.toml" <<CONFIG
[[definition]]
id = "BENCHU"
partner = "vsftpd"
direction = "send"
remote = "up/{name}"
[[definition]]
id = "BENCHD"
partner = "vsftpd"
direction = "fetch"
remote = "stock/big"
CONFIG
    chmod 600 "$install"/*.toml "$install"/definitions/*.toml
    "$programs/ferryway" run "$install" >"$work/ferryway.out" 2>&1 &
    host=$!
    await "ferryway" "$work/ferryway.out" "$programs/ftprel" health
}

# await NAME OUTPUT COMMAND...: until the command succeeds.
await() {
    local name=$1 output=$2 deadline=$((SECONDS + 30))
    shift 2
    until "$@" >"$work/await.out" 2>&1; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            echo "$name does not answer" >&2
            cat "$output" "$work/await.out" >&2
            return 1
        fi
        sleep 0.05
    done
}

describe() {
    echo "$(nproc) processors, Linux $(uname -r), files on $(stat -f -c %T "$work")"
    echo "$(curl --version | head -n 1 | cut -d ' ' -f 1,2), $(lftp --version | sed -n '1s/.*Version \([^ ]*\).*/lftp \1/p')"
    echo "medians of $rounds rounds, clients in turn; load $(cut -d ' ' -f 1-3 /proc/loadavg)"
}

finish() {
    local status=$?
    trap - EXIT
    [ "$status" = 0 ] || tail -n 20 "$work"/*.out >&2 || true
    [ -z "$host" ] || kill "$host" 2>/dev/null || true
    [ ${#socket_process[@]} = 0 ] || kill "${socket_process[@]}" 2>/dev/null || true
    [ ${#line_process[@]} = 0 ] || kill "${line_process[@]}" 2>/dev/null || true
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    wait
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

main
