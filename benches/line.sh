# Over long lines, by FTP and by socket; read by compare.sh.
#
# The clients and the host `near` are in this script's network, the servers and the host `far` in
# another one. For each line there is a TUN device at both ends, as fast as `line_rate`; between them
# `raw-copy line` holds each packet back, and loses some.

# Round trip in ms, and how many of a hundred packets are lost.
lines=("20 0" "50 0" "20 0.5")
line_rate=400mbit

can_line() {
    has_vsftpd && has_ferryway && has ip tc nsenter chrt ping || return
    [ -w /dev/net/tun ] && return
    echo "no /dev/net/tun to write to" >&2
    return 1
}

begin_line() {
    local line number=0
    [ "$size" = full ] || lines=("20 0" "20 0.5")
    unshare --net sleep infinity &
    far=$!
    await "a network" /dev/null bash -c "[ \$(readlink /proc/$far/ns/net) != $(readlink /proc/self/ns/net) ]"
    in_far=(nsenter "--net=/proc/$far/ns/net")
    forget_runs "${in_far[@]}"
    make_host near "$source" "$got"
    for line in "${lines[@]}"; do
        number=$((number + 1))
        # shellcheck disable=SC2086 # Two words.
        start_line "$number" $line
        ftp_partner "FTP$number" "10.77.$number.2" 21 >>"$work/near/ferryway.toml"
        define near "FTP$number" "F$number" 'up/{name}' stock/line/big
        socket_partner "HOST$number" "10.77.$number.2" 7045 plain near far >>"$work/near/ferryway.toml"
        define near "HOST$number" "S$number" '{name}' "$root/stock/line/big"
    done
    start_vsftpd line 0.0.0.0 21 "${in_far[@]}"
    await vsftpd "$work/line-vsftpd.out" greets 10.77.1.2 21
    make_host far "$root/stock" "$root/up"
    door 0.0.0.0 7045 plain far near >>"$work/far/ferryway.toml"
    start_host far "${in_far[@]}"
    start_host near
    if has rsync; then
        start_rsync line 0.0.0.0 873 "${in_far[@]}"
        await rsync "$work/line-rsync.out" greets 10.77.1.2 873
    fi
    mapfile -t ftp_clients < <(find_ftp_clients)
}

# start_line NUMBER MILLISECONDS PERCENT
start_line() {
    local near=near$1 far_device=far$1
    # Before all others, so that it holds nothing longer than it should.
    chrt --rr 1 python3 "$here/tun.py" "$near" "$far_device" \
        "$programs/raw-copy" line "$2" "$3" 2>"$work/line-$1.out" &
    await "a line" "$work/line-$1.out" ip link show "$far_device"
    ip link set "$far_device" netns "$far"
    line_end "$near" "10.77.$1.1" "10.77.$1.2"
    line_end "$far_device" "10.77.$1.2" "10.77.$1.1" "${in_far[@]}"
    await "the other end" "$work/line-$1.out" ping -c 1 -W 1 "10.77.$1.2"
}

# line_end DEVICE OWN OTHER [PREFIX...]
line_end() {
    local device=$1 own=$2 other=$3
    shift 3
    "$@" ip address add "$own" peer "$other" dev "$device"
    "$@" ip link set "$device" up
    "$@" tc qdisc add dev "$device" root tbf rate "$line_rate" burst 64kb latency 50ms
}

round_line() {
    local round=$1 line number=0 case cases over
    section="Over long lines" set=line
    for line in "${lines[@]}"; do
        number=$((number + 1))
        # Loss is what several connections share, delay what small files wait for.
        case $line in
            *" 0") over="over ${line% *} ms" cases=(big_up big_down small_up) ;;
            *) over="over ${line% *} ms, ${line#* } % lost" cases=(big_up many_up) ;;
        esac
        for case in "${cases[@]}"; do
            line_case "$case" "$number" "$over"
        done
    done
}

# line_case CASE NUMBER OVER: every client, over the line of this number.
line_case() {
    local client
    ftp_at "10.77.$2.2" 21 near "F$2"
    where="by FTP $3"
    for client in "${ftp_clients[@]}"; do
        run_case "$1" "$client" "ftp_$client"
    done
    socket_rsync_at "10.77.$2.2" 873 line
    where="by socket $3"
    [ -z "${rsync_process[line]:-}" ] || run_case "$1" rsync socket_rsync rsync plain
    run_case "$1" ferryway line_ferryway "$2"
}

# line_ferryway NUMBER CASE
line_ferryway() {
    ferryway_case near "${host_process[near]},${host_process[far]}" "S$1" "$root/stock" "$2"
}
