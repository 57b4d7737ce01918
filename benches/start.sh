# From the start of a server to its first word, and of a host to its word to the service manager that it
# works; read by compare.sh.
#
# The host `empty` never had a job, the host `worked` has a history.

can_start() { has_vsftpd && has_ferryway; }

begin_start() {
    local name port
    port=$(free_port start)
    start_vsftpd start 127.0.0.1 "$port"
    vsftpd_process=$!
    await vsftpd "$work/start-vsftpd.out" greets 127.0.0.1 "$port"
    for name in empty worked; do
        make_host "$name" "$source" "$got"
        ftp_partner FTP 127.0.0.1 "$port" >>"$work/$name/ferryway.toml"
        define "$name" FTP FTP 'up/{name}' stock/full/big
    done
    start_host worked
    work_off "$history_jobs"
    kill_host worked TERM
    kill "$vsftpd_process"
    if has rsync; then
        write_rsync start 127.0.0.1 "$(free_port start-rsync)"
    fi
}

# work_off JOBS: has the host `worked` do them, of small files, as often as it takes.
work_off() {
    local left=$1 many
    while [ "$left" -gt 0 ]; do
        many=$((left < small_count[full] ? left : small_count[full]))
        head -n "$many" "$work/full-small-up" >"$work/start-sent"
        order worked --json submit --wait UPFTP --from-file "$work/start-sent" >"$work/ftprel.out"
        left=$((left - many))
    done
}

round_start() {
    local round=$1
    section="Start"
    start_case "Start without history" empty
    start_case "Start with $history_jobs finished jobs" worked
}

# start_case TITLE HOST
start_case() {
    echo "round $round of $rounds: $1" >&2
    start_run "$1" vsftpd "$(free_port start)" env LD_LIBRARY_PATH="$servers/lib" "$vsftpd" "$work/start-vsftpd.conf"
    ! has rsync 2>/dev/null ||
        start_run "$1" rsync "$(free_port start-rsync)" rsync --daemon --no-detach --config="$work/start-rsync.conf"
    start_run "$1" ferryway ready env FERRYWAY_RUN_DIR="$work/run-$2" "$programs/ferryway" run "$work/$2"
}

# start_run TITLE CLIENT PORT|ready COMMAND...
start_run() {
    sync
    python3 "$here/measure.py" start "$work/results" "$section" "$1" "$2" "$3" -- "${@:4}" >>"$work/start.out" 2>&1
}
