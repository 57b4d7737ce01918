# The memory of hosts that move 1,000 files at once; read by compare.sh.

# Sessions to a partner, and so one partner for as many files.
crowd_sessions=250
# How long all move before the memory is looked at.
crowd_seconds=15

can_crowd() { has_vsftpd && has_ferryway && has tc; }

begin_crowd() {
    local port
    [ "$size" = full ] || crowd_seconds=2
    # A file has two connections beside itself.
    ulimit -n "$(ulimit -Hn)"
    port=$(free_port crowd)
    vsftpd_rate=65536 start_vsftpd crowd 127.0.0.1 "$port"
    await vsftpd "$work/crowd-vsftpd.out" greets 127.0.0.1 "$port"
}

round_crowd() {
    local round=$1 title="Memory with $crowd_jobs files of ${big_mib[full]} MiB on their way"
    section="Memory"
    crowd_of ftp
    note "$title" "peak MiB" "ferryway, by FTP" "$(peak_mib crowd)"
    kill_host crowd
    make_host crowd-door "$root/stock" "$root/up"
    door 127.0.0.1 "$(free_port crowd-door)" plain crowd-door crowd >>"$work/crowd-door/ferryway.toml"
    start_host crowd-door
    # So slow that no file arrives before all move, as with the FTP server.
    slow_loopback 500
    crowd_of socket
    free_loopback
    note "$title" "peak MiB" "ferryway, sends by socket" "$(peak_mib crowd)"
    note "$title" "peak MiB" "ferryway, receives by socket" "$(peak_mib crowd-door)"
    kill_host crowd
    kill_host crowd-door
    rm -rf "$work/crowd-door"
}

# crowd_of TRANSPORT: a new host `crowd`, of which as many jobs move.
crowd_of() {
    local number partners=$((crowd_jobs / crowd_sessions)) each=$crowd_sessions
    [ "$partners" -gt 0 ] || partners=1 each=$crowd_jobs
    echo "round $round of $rounds: $title by $1" >&2
    rm -rf "$work/crowd" && make_host crowd "$source" "$got"
    put_aside "$root/up"
    for ((number = 1; number <= partners; number++)); do
        "crowd_partner_$1" "P$number" "$each" >>"$work/crowd/ferryway.toml"
    done
    start_host crowd
    yes "$source/full/big" | head -n "$each" >"$work/crowd-sent" || true
    for ((number = 1; number <= partners; number++)); do
        order crowd --json submit "UPP$number" --from-file "$work/crowd-sent" >"$work/ftprel.out"
    done
    patience=120 await "$crowd_jobs moving jobs" "$work/crowd.out" crowd_moves
    # Buffers and windows are full only by and by.
    sleep "$crowd_seconds"
}

crowd_keys() { printf '%s\n' "sessions = $1" "jobs = $1"; }

crowd_partner_ftp() {
    ftp_partner "$1" 127.0.0.1 "$(free_port crowd)" "$(crowd_keys "$2")"
    define crowd "$1" "$1" 'up/{job}' none
}

crowd_partner_socket() {
    socket_partner "$1" 127.0.0.1 "$(free_port crowd-door)" plain crowd crowd-door "$(crowd_keys "$2")"
    define crowd "$1" "$1" '{job}' none
}

crowd_moves() { [ "$(order crowd list --status 04 | grep -c '^UPP')" = "$crowd_jobs" ]; }

# The most memory that a host had so far.
peak_mib() { awk '/^VmHWM:/ { print $2 / 1024 }' "/proc/${host_process[$1]}/status"; }
