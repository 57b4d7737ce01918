# By FTP, one vsftpd on loopback for all clients; read by compare.sh.

can_ftp() { has_vsftpd; }

begin_ftp() {
    local port
    port=$(free_port ftp)
    start_vsftpd ftp 127.0.0.1 "$port"
    await vsftpd "$work/ftp-vsftpd.out" greets 127.0.0.1 "$port"
    if has_ferryway; then
        make_host bench "$source" "$got"
        ftp_partner FTP 127.0.0.1 "$port" >>"$work/bench/ferryway.toml"
        define bench FTP FTP 'up/{name}' stock/full/big
        start_host bench
    fi
    mapfile -t ftp_clients < <(find_ftp_clients)
}

round_ftp() {
    local round=$1 case client
    section="By FTP" set=full where="by FTP"
    ftp_at 127.0.0.1 "$(free_port ftp)" bench FTP
    for case in big_up big_down small_up small_down many_up many_down; do
        for client in "${ftp_clients[@]}" $(ftp_raw_clients "$case"); do
            run_case "$case" "$client" "ftp_$client"
        done
    done
}

# The clients that are here, a line each. Says which are not.
find_ftp_clients() {
    has curl && echo curl
    has lftp && echo lftp
    has ncftpput ncftpget && echo ncftp
    has rclone && echo rclone
    has_ferryway && echo ferryway
    true
}

# ftp_raw_clients CASE: of raw-copy's ways, where it is here.
ftp_raw_clients() {
    [[ " ${ftp_clients[*]} " = *" ferryway "* ]] || return 0
    echo durable
    case $1 in
        small_*) echo dialogue least ;;
    esac
}

# ftp_at ADDRESS PORT HOST ID: the server of the next cases, and which definitions of which host lead
# to it.
ftp_at() {
    ftp_address=$1 ftp_port=$2 ftp_host=$3 ftp_id=$4 url=ftp://$1:$2
    export RCLONE_FTP_HOST=$1 RCLONE_FTP_PORT=$2 RCLONE_FTP_USER=anonymous
    [[ " ${ftp_clients[*]} " != *" rclone "* ]] || RCLONE_FTP_PASS=$(rclone obscure bench)
    export RCLONE_FTP_PASS RCLONE_CONFIG=/dev/null
}

# greets ADDRESS PORT: whether a server says something.
greets() {
    local connection
    exec {connection}<>"/dev/tcp/$1/$2" && read -r -t 1 -u "$connection" && exec {connection}>&-
}

ftp_ferryway() { ferryway_case "$ftp_host" "${host_process[$ftp_host]}" "$ftp_id" stock "$1"; }

# As many at a time as lftp: one at a time curl now and then sleeps for a tenth of a second between two
# files. It prints a progress meter even when silent.
ftp_curl() {
    local what=${1%_*} files all=(-Z --parallel-max "$parallel")
    # As a glob of curl's.
    files="f[0000-$(printf %04d $((small_count[$set] - 1)))]"
    [ "$what" = small ] || files='f[0-7]'
    case $1 in
        big_up) set -- "$1" -T "$source/$set/big" "$url/up/" ;;
        big_down) set -- "$1" -o "$got/big" "$url/stock/$set/big" ;;
        *_up) set -- "$1" "${all[@]}" -T "$source/$set/$what/$files" "$url/up/" ;;
        *_down) set -- "$1" "${all[@]}" -o "$got/f#1" "$url/stock/$set/$what/$files" ;;
    esac
    measure "$1" curl -- curl -sS "${@:2}" 2>"$work/client.out"
}

ftp_lftp() {
    local command what=${1%_*}
    case $1 in
        big_up) command="put -O up $source/$set/big" ;;
        big_down) command="get -O $got stock/$set/big" ;;
        *_up) command="mirror -R -P$parallel $source/$set/$what up" ;;
        *_down) command="mirror -P$parallel stock/$set/$what $got" ;;
    esac
    measure "$1" lftp -- lftp --norc -c \
        "set cmd:fail-exit yes; set net:max-retries 1; set ftp:ssl-allow no; open $url; $command"
}

# One transfer at a time in a process, so as many processes as the others have connections.
ftp_ncftp() {
    local put=(ncftpput -V -P "$ftp_port" "$ftp_address" up) get=(ncftpget -V -P "$ftp_port" "$ftp_address" "$got")
    local each=$(((small_count[$set] + parallel - 1) / parallel)) what=${1%_*}
    [ "$what" = small ] || each=$((8 / parallel))
    case $1 in
        big_up) measure "$1" ncftp -- "${put[@]}" "$source/$set/big" ;;
        big_down) measure "$1" ncftp -- "${get[@]}" "stock/$set/big" ;;
        *_up) measure "$1" ncftp -- xargs -a "$work/$set-$what-up" -P "$parallel" -n "$each" "${put[@]}" ;;
        *_down)
            sed "s|.*/|stock/$set/$what/|" "$work/$set-$what-up" >"$work/ncftp-wanted"
            measure "$1" ncftp -- xargs -a "$work/ncftp-wanted" -P "$parallel" -n "$each" "${get[@]}"
            ;;
    esac
}

# One stream for a file, as with the others: with four, its way with large files, version 1.60 was seen to
# end well with a wrong file after an error of the server's.
ftp_rclone() {
    local what=${1%_*}
    case $1 in
        *_up) set -- "$1" "$source/$set/$what" :ftp:up ;;
        *_down) set -- "$1" ":ftp:stock/$set/$what" "$got" ;;
    esac
    measure "$1" rclone -- rclone copy --multi-thread-streams 0 --transfers "$parallel" --checkers "$parallel" "${@:2}" 2>"$work/client.out"
}

# What files cost without a journal: raw/src/ftp.rs.
ftp_durable() { ftp_raw "$1" durable; }
ftp_dialogue() { ftp_raw "$1" dialogue; }
ftp_least() { ftp_raw "$1" least; }

# ftp_raw CASE CLIENT
ftp_raw() {
    local what=${1%_*} way=${1#*_} folder=up
    [ "$way" = up ] || folder=stock/$set/$what
    # One file is in no folder of its own.
    measure "$1" "$2" -- "$programs/raw-copy" ftp "$2" "$way" "$ftp_port" "$work/$set-$what-$way" "${folder%/big}"
}
