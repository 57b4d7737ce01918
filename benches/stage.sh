# What the kinds of compare.sh share, which reads this file: the data, the places, the peers, and how a
# run is noted.
#
# Variables of a case, set by the kind before it runs one:
#   section  heading of the tables
#   set      which data: `full` or `line`
#   where    what the title of the case ends with

# As many at a time for every client.
parallel=4

declare -A big_mib small_count

# The data, and an empty network but for loopback.
begin_stage() {
    # Clients find nothing of the user's own settings.
    export HOME=$work/home
    root=$work/root source=$work/source got=$work/got
    big_mib=([full]=1024 [line]=32) small_count=([full]=2000 [line]=40)
    history_jobs=10000 crowd_jobs=1000
    if [ "$size" = quick ]; then
        big_mib=([full]=64 [line]=8) small_count=([full]=200 [line]=8)
        history_jobs=400 crowd_jobs=100
    fi
    ip link set lo up
    forget_runs
    mkdir -p "$HOME" "$root/stock" "$root/up" "$source" "$got" "$work/run"
    prepare_data full
    prepare_data line
    # The same files: nobody writes to them.
    cp -rl "$source/." "$root/stock/"
}

# forget_runs [PREFIX...]: the network learns nothing from one run for the next.
forget_runs() {
    "$@" sh -c 'echo 1 >/proc/sys/net/ipv4/tcp_no_metrics_save'
}

# slow_loopback MBIT, until free_loopback: so that a transfer has a middle.
slow_loopback() { tc qdisc add dev lo root tbf rate "$1mbit" burst 2mb latency 50ms; }
free_loopback() { tc qdisc del dev lo root; }

# prepare_data SET: `big`, `small/f0000` and so on, and in `many/` the eighths of `big`.
prepare_data() {
    local folder=$source/$1
    mkdir -p "$folder/small" "$folder/many"
    python3 - "$folder" "${big_mib[$1]}" "${small_count[$1]}" <<'PYTHON'
import random, sys
folder, mib, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
noise = random.Random(1)
with open(f"{folder}/big", "wb") as file:
    for _ in range(mib):
        file.write(noise.randbytes(1 << 20))
for number in range(count):
    with open(f"{folder}/small/f{number:04}", "wb") as file:
        file.write(noise.randbytes(10 * 1024))
PYTHON
    split --number=8 --numeric-suffixes --suffix-length=1 "$folder/big" "$folder/many/f"
    local what
    for what in big small many; do
        find "$folder/$what" -type f | sort >"$work/$1-$what-up"
        sed "s|.*/|$got/|" "$work/$1-$what-up" >"$work/$1-$what-down"
    done
}

# title CASE
title() {
    case $1 in
        big_*) echo "${big_mib[$set]} MiB ${1#*_} $where" ;;
        small_*) echo "${small_count[$set]} files of 10 KiB ${1#*_} $where" ;;
        many_*) echo "8 files of $((big_mib[$set] / 8)) MiB ${1#*_} $where" ;;
    esac
}

# run_case CASE CLIENT COMMAND...: has a client move the files, and counts it only when what arrived is
# identical; Ferryway's failure ends everything. It starts without its result being there and with
# nothing waiting to be written.
run_case() {
    local case=$1 client=$2
    shift 2
    echo "round $round of $rounds: $(title "$case"), $client" >&2
    # The folders stay: a running host may hold on to them, and has its staging there.
    put_aside "$root/up" -not -name '.ferryway*'
    put_aside "$got" -not -name '.ferryway*'
    # What a client says that says much.
    : >"$work/client.out"
    sync
    if "$@" "$case" && arrived "$case" >&2; then
        cat "$work/measured" >>"$work/results"
    elif [ "$client" = ferryway ]; then
        return 1
    else
        tr '\r' '\n' <"$work/client.out" | tail -n 3 >&2
        echo "$client, $(title "$case")" | tee -a "$work/uncounted" >&2
    fi
}

# put_aside FOLDER [TEST...]: takes what is there, or what of it passes a test of find's, out of a
# folder. Its bytes go, its inodes stay until all is over: ext4 without a journal passes, for each file
# that is made, over those of all that were removed in the last minutes.
put_aside() {
    local aside
    aside=$(mktemp -d "$work/aside.XXXXXX")
    find "$1" -mindepth 1 -maxdepth 1 "${@:2}" -exec mv -t "$aside" {} +
    find "$aside" -type f -exec truncate -s 0 {} +
}

# arrived CASE: says what did not.
arrived() {
    local folder=$root/up
    [ "${1#*_}" = up ] || folder=$got
    case $1 in
        big_*) cmp "$source/$set/big" "$folder/big" ;;
        *) diff -rq -x .ferryway "$source/$set/${1%_*}" "$folder" | head -n 3 ;;
    esac
}

# measure CASE CLIENT [--service PROCESS,...] -- COMMAND...: into the file `measured`.
measure() {
    local title
    title=$(title "$1")
    shift
    rm -f "$work/measured"
    python3 "$here/measure.py" run "$work/measured" "$section" "$title" "$@"
}

# note TITLE QUANTITY CLIENT VALUE: a result that is no time of a command.
note() { printf '%s\t' "$section" "$@" >>"$work/results" && printf -- '-\t-\n' >>"$work/results"; }

# has PROGRAM...: says which of them is missing.
has() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null && continue
        echo "no $program here: benches/install.sh installs it" >&2
        return 1
    done
}

has_ferryway() {
    [ -x "$programs/ferryway" ] && [ -x "$programs/ftprel" ] && [ -x "$programs/raw-copy" ] && return
    echo "not all of ferryway, ftprel and raw-copy are in $programs: cargo build --release --workspace" >&2
    return 1
}

has_vsftpd() {
    vsftpd=$servers/vsftpd/usr/sbin/vsftpd
    [ -x "$vsftpd" ] || vsftpd=$(PATH=$PATH:/usr/sbin command -v vsftpd) && return
    echo "no vsftpd here: tests/servers/install.sh unpacks it" >&2
    return 1
}

# start_vsftpd NAME ADDRESS PORT [PREFIX...]: an anonymous server of the root, which moves
# `vsftpd_rate` bytes a second in each session where that is set.
start_vsftpd() {
    local name=$1
    mkdir -p "$work/empty"
    (umask 077 && cat >"$work/$name-vsftpd.conf") <<CONFIG
listen=YES
listen_address=$2
listen_port=$3
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
max_clients=0
max_per_ip=0
anon_max_rate=${vsftpd_rate:-0}
CONFIG
    shift 3
    LD_LIBRARY_PATH=$servers/lib "$@" "$vsftpd" "$work/$name-vsftpd.conf" >"$work/$name-vsftpd.out" 2>&1 &
}

# start_rsync NAME ADDRESS PORT [PREFIX...]: a daemon with the root as its module `root`. Its process
# is then `rsync_process[NAME]`.
start_rsync() {
    local name=$1
    write_rsync "$1" "$2" "$3"
    shift 3
    "$@" rsync --daemon --no-detach --config="$work/$name-rsync.conf" >"$work/$name-rsync.out" 2>&1 &
    rsync_process[$name]=$!
}
declare -A rsync_process=()

# write_rsync NAME ADDRESS PORT: its configuration.
write_rsync() {
    cat >"$work/$1-rsync.conf" <<CONFIG
address = $2
port = $3
use chroot = no
uid = $(id -un)
gid = $(id -gn)
[root]
path = $root
read only = no
CONFIG
}

# The port of a server: chosen once.
free_port() {
    [ -f "$work/port-$1" ] ||
        python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' >"$work/port-$1"
    cat "$work/port-$1"
}

# await NAME OUTPUT COMMAND...: until the command succeeds, for `patience` seconds at most.
await() {
    local name=$1 output=$2 deadline=$((SECONDS + ${patience:-30}))
    shift 2
    until "$@" >"$work/await.out" 2>&1; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            echo "$name does not answer" >&2
            tail -n 5 "$output" "$work/await.out" >&2
            return 1
        fi
        sleep 0.05
    done
}

# What the tables were measured with.
describe() {
    local program versions=''
    for program in curl lftp ncftpput rclone rsync; do
        versions+=$(version "$program")
    done
    [ "$size" = full ] || versions+="; little data (--quick)"
    echo "$(date -u +%Y-%m-%d), medians of $rounds rounds, clients in turn; load at the end $(cut -d ' ' -f 1-3 /proc/loadavg);"
    echo "$(nproc) processors, Linux $(uname -r), TCP $(cat /proc/sys/net/ipv4/tcp_congestion_control)," \
        "files on $(df --output=fstype "$work" | tail -n 1)$versions."
    [ ! -s "$work/uncounted" ] ||
        echo "Not counted, as it failed or brought something else: $(paste -s -d ';' "$work/uncounted")."
}

# version PROGRAM: the first thing in its first words that looks like one.
version() {
    local option=--version
    [ "$1" != rclone ] || option=version
    command -v "$1" >/dev/null || return 0
    echo -n ", $1 $({ "$1" $option 2>/dev/null || true; } | head -n 2 | grep -oE '[0-9]+(\.[0-9]+)+' | head -n 1)"
}
