# By socket, Ferryway to Ferryway on loopback, beside rsync and beside copies that know nothing but the
# system, and what a death costs; read by compare.sh.
#
# The host `night` sends to, and fetches from, the hosts `plain`, `secret` and `tls`.

can_socket() { has_ferryway; }

begin_socket() {
    local security port
    mkdir -p "$work/keys" && "$programs/raw-copy" certificates "$work/keys" night.bench tls.bench
    chmod 600 "$work"/keys/*
    make_host night "$source" "$got"
    for security in plain secret tls; do
        port=$(free_port "$security")
        make_host "$security" "$root/stock" "$root/up"
        door 127.0.0.1 "$port" "$security" "$security" night >>"$work/$security/ferryway.toml"
        start_host "$security"
        socket_partner "${security^^}" 127.0.0.1 "$port" "$security" night "$security" >>"$work/night/ferryway.toml"
        define night "${security^^}" "$(short "$security")" '{name}' "$root/stock/full/big"
    done
    start_host night
    if has rsync; then
        port=$(free_port rsync)
        start_rsync socket 127.0.0.1 "$port"
        await rsync "$work/socket-rsync.out" greets 127.0.0.1 "$port"
    fi
}

# The part of a definition's id that stands for a security: ids have up to 6 characters.
short() { echo "${1^^}" | cut -c 1-4; }

round_socket() {
    local round=$1 case security client
    section="By socket" set=full
    socket_rsync_at 127.0.0.1 "$(free_port rsync)" socket
    for case in big_up:plain big_up:secret big_up:tls big_down:plain big_down:tls \
        small_up:plain small_up:tls many_up:plain many_up:tls; do
        security=${case#*:} case=${case%:*}
        where="by socket, $security"
        for client in $(socket_clients "$case" "$security"); do
            # What comes after a dash is how the client works.
            run_case "$case" "$client" "socket_${client%%-*}" "$client" "$security"
        done
    done
    # Two seconds for each file.
    slow_loopback $((big_mib[full] * 4))
    for client in night tls; do
        for case in big_up big_down; do
            echo "round $round of $rounds: death of $client, $case" >&2
            socket_death "$client" "$case"
        done
    done
    free_loopback
}

# socket_clients CASE SECURITY
socket_clients() {
    case $1/$2 in
        small_*) ;;
        */tls) echo rustls rustls-sync ;;
        *) echo sendfile sendfile-sync ;;
    esac
    [ "$2" != plain ] || [ ${#rsync_process[@]} = 0 ] || echo rsync rsync-sync
    echo ferryway
}

# Both hosts work for it.
socket_ferryway() {
    ferryway_case night "${host_process[night]},${host_process[$2]}" "$(short "$2")" "$root/stock" "$3"
}

socket_sendfile() { socket_raw sendfile "$1" "$3"; }
socket_rustls() { socket_raw rustls "$1" "$3"; }

# socket_raw KIND CLIENT CASE: the same in both directions, for both ends are one process. A process a
# file, as many at a time as the others have connections.
socket_raw() {
    local sync=() arrived=$root/up
    [ "${2#*-}" != sync ] || sync=(--sync)
    [ "${3#*_}" = up ] || arrived=$got
    case $3 in
        big_*) measure "$3" "$2" -- "$programs/raw-copy" "$1" "$source/$set/big" "$arrived/big" "${sync[@]}" ;;
        *)
            find "$source/$set/${3%_*}" -type f -printf '%f\n' >"$work/names"
            measure "$3" "$2" -- xargs -a "$work/names" -P "$parallel" -I '{}' \
                "$programs/raw-copy" "$1" "$source/$set/${3%_*}/{}" "$arrived/{}" "${sync[@]}"
            ;;
    esac
}

# socket_rsync_at ADDRESS PORT NAME: the daemon of the next cases.
socket_rsync_at() { rsync_url=rsync://$1:$2/root rsync_name=$3; }

# socket_rsync CLIENT SECURITY CASE: whole files into an empty folder, so that nothing is compared. Its
# daemon works for it. Large files go by a process each, as many at a time as the others have connections.
socket_rsync() {
    local what=${3%_*} from to words=(rsync --recursive --whole-file)
    [ "${1#*-}" != sync ] || words+=(--fsync)
    from=$source/$set/$what to=$rsync_url/up/
    [ "${3#*_}" = up ] || from=$rsync_url/stock/$set/$what to=$got/
    case $what in
        big) words+=("$from" "$to") ;;
        small) words+=("$from/" "$to") ;;
        many)
            find "$source/$set/many" -type f -printf '%f\n' >"$work/names"
            words=(xargs -a "$work/names" -P "$parallel" -I '{}' "${words[@]}" "$from/{}" "$to")
            ;;
    esac
    measure "$3" "$1" --service "${rsync_process[$rsync_name]}" -- "${words[@]}"
}

# socket_death VICTIM CASE: kills a host in the middle of a transfer, starts it anew, and notes how
# many of the bytes that were across are sent again.
socket_death() {
    local victim=$1 case=$2 words folder=$root/up job across resumed
    words=(UPTLS "$source/full/big")
    [ "$case" = big_up ] || { words=(DNTLS --remote "$root/stock/full/big" "$got/big") && folder=$got; }
    put_aside "$root/up"
    put_aside "$got"
    sync
    job=$(order night --json submit "${words[@]}" |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["jobs"][0]["id"])')
    await "the middle of a file" "$work/$victim.out" socket_half "$folder"
    kill_host "$victim"
    across=$(socket_across "$folder")
    start_host "$victim"
    order night watch "$job" >"$work/watch.out" 2>&1
    resumed=$(order night show "$job" | sed -n 's/.*resumes at byte \([0-9]*\).*/\1/p' | tail -n 1)
    cmp "$source/full/big" "$folder/big"
    note "Sent again after a death in the middle of ${big_mib[full]} MiB by socket, tls" "MiB sent again" \
        "$([ "$victim" = night ] && echo visitor || echo host), ${case#*_}" \
        "$(awk -v across="$across" -v resumed="${resumed:-0}" 'BEGIN {
            # What was on its way at the death may have come in after the look.
            print (across > resumed ? across - resumed : 0) / 1048576 }')"
}

socket_half() { [ "$(socket_across "$1")" -ge $((big_mib[full] << 19)) ]; }

# The bytes of the file that are at the end where they go.
socket_across() {
    find "$1" -name '*.part' -type f -printf '%s\n' 2>/dev/null | sort -n | tail -n 1 | grep . || echo 0
}
