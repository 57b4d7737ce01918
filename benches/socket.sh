# The socket cases of compare.sh, which reads this file: Ferryway to Ferryway over loopback, beside
# copies that know nothing but the system, and what a death costs.
#
# The host `night` sends to, and fetches from, the hosts `plain`, `secret` and `tls`.

socket_cases=(up_plain up_secret up_tls down_plain down_tls small_plain small_tls)
declare -A socket_process=()

start_socket() {
    local security
    mkdir -p "$work/keys" && "$programs/raw-copy" certificates "$work/keys" night.bench tls.bench
    chmod 600 "$work"/keys/*
    for security in plain secret tls; do
        prepare_socket_host "$security" && receiving_host "$security" >>"$work/$security/ferryway.toml"
        start_socket_host "$security"
    done
    prepare_socket_host night
    for security in plain secret tls; do
        sending_host "$security" >>"$work/night/ferryway.toml"
    done
    start_socket_host night
}

# The title of a socket case in the tables.
socket_title() {
    case $1 in
        small_*) echo "$((10#$small_last + 1)) files of 10 KiB up by socket, ${1#*_}" ;;
        *) echo "$big_mib MiB ${1%_*} by socket, ${1#*_}" ;;
    esac
}

socket_clients() {
    case $1 in
        small_*) echo ferryway ;;
        *_tls) echo rustls rustls-sync ferryway ;;
        *) echo sendfile sendfile-sync ferryway ;;
    esac
}

# socket_run CASE CLIENT: as one_run. A raw copy is the same in both directions.
socket_run() {
    local case=$1 client=$2 definition arrived=$root/up/big
    definition=$(short "${1#*_}")
    find "$root/up" "$got" -mindepth 1 -delete
    sync
    case $client/$case in
        ferryway/up_*) socket_submit "$case" "UP$definition" "$source/big" ;;
        ferryway/down_*)
            arrived=$got/big
            socket_submit "$case" "DN$definition" --remote "$root/stock/" "$got/big"
            ;;
        ferryway/small_*)
            socket_submit "$case" "UP$definition" --from-file "$work/sent"
            diff -r -x .ferryway "$source/small" "$root/up"
            return
            ;;
        *-sync/*) socket_measure "$case" "$client" "$programs/raw-copy" "${client%-sync}" "$source/big" "$arrived" --sync ;;
        *) socket_measure "$case" "$client" "$programs/raw-copy" "$client" "$source/big" "$arrived" ;;
    esac
    cmp "$source/big" "$arrived"
}

# socket_measure CASE CLIENT [--service PROCESSES] COMMAND...
socket_measure() {
    local title client=$2 service=()
    title=$(socket_title "$1")
    shift 2
    [ "$1" != --service ] || { service=("$1" "$2") && shift 2; }
    python3 "$here/measure.py" run "$work/results" "$title" "$client" "${service[@]}" -- "$@"
}

# Both hosts work for the command.
socket_submit() {
    local case=$1
    shift
    socket_measure "$case" ferryway \
        --service "${socket_process[night]},${socket_process[${case#*_}]}" \
        "$programs/ftprel" --dir "$work/night" --run-dir "$work/run-night" --json \
        submit --wait "$@" >"$work/ftprel.out"
}

# socket_death VICTIM WAY: kills a host in the middle of a transfer, starts it anew, and notes how
# many of the bytes that were across are sent again.
socket_death() {
    local victim=$1 way=$2 words folder=$root/up job across resumed deadline=$((SECONDS + 60))
    words=(UPTLS "$source/big")
    [ "$way" = up ] || { words=(DNTLS --remote "$root/stock/" "$got/big") && folder=$got; }
    find "$root/up" "$got" -mindepth 1 -delete
    sync
    job=$(night --json submit "${words[@]}" |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["jobs"][0]["id"])')
    until [ "$(socket_across "$folder")" -ge $((big_mib << 19)) ]; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
    done
    kill -KILL "${socket_process[$victim]}"
    wait "${socket_process[$victim]}" 2>"$work/wait.out" || true
    across=$(socket_across "$folder")
    start_socket_host "$victim"
    night watch "$job" >"$work/watch.out" 2>&1
    resumed=$(night show "$job" | sed -n 's/.*resumes at byte \([0-9]*\).*/\1/p' | tail -n 1)
    cmp "$source/big" "$folder/big"
    printf '%s\t%s\t%s\t%s\n' "$victim" "$way" "$across" "${resumed:-0}" >>"$work/deaths"
}

# The bytes of the file that are at the end where they go.
socket_across() {
    find "$1" -name '*.part' -type f -printf '%s\n' 2>/dev/null | sort -n | tail -n 1 | grep . || echo 0
}

describe_deaths() {
    [ -f "$work/deaths" ] || return 0
    printf '\n### Sent again after a death in the middle of %s MiB by socket, tls\n\n' "$big_mib"
    echo "| killed | the file goes | MiB across | MiB of them sent again |"
    echo "|---|---|---|---|"
    awk -F '\t' '{ printf "| %s | %s | %.1f | %.1f |\n", $1 == "night" ? "visitor" : "host", $2, $3 / 1048576, ($3 - $4) / 1048576 }' "$work/deaths"
}

night() { "$programs/ftprel" --dir "$work/night" --run-dir "$work/run-night" "$@"; }

prepare_socket_host() {
    local name=$1
    mkdir -p "$work/$name"/{definitions,plugins,journal,logs,exits,tools/master} "$work/run-$name"
    cp "$programs"/libferryway_*.so "$work/$name/plugins/"
    (umask 077 && touch "$work/$name/ferryway.toml")
    cat >"$work/$name/ferryway.toml" <<CONFIG
[instance]
name = "$name"
host_name = "$name.bench"
[roots]
CONFIG
    if [ "$name" = night ]; then
        printf 'send = ["%s"]\nreceive = ["%s"]\n' "$source" "$got"
    else
        printf 'send = ["%s"]\nreceive = ["%s"]\n' "$root/stock" "$root/up"
    fi >>"$work/$name/ferryway.toml"
}

receiving_host() {
    cat <<CONFIG
[listen]
transport = "socket"
address = "127.0.0.1"
port = $(free_port "$1")
$(security_keys "$1" "$1")
[listen.visitors.NIGHT]
host_name = "night.bench"
instance = "night"
may = ["send", "fetch"]
CONFIG
}

sending_host() {
    local name=${1^^}
    cat <<CONFIG
[partners.$name]
transport = "socket"
host = "127.0.0.1"
port = $(free_port "$1")
$(security_keys "$1" night)
$([ "$1" != tls ] || echo 'server_name = "tls.bench"')
[partners.$name.retry]
first_s = 1
max_s = 1
CONFIG
    definitions_for "$name" "$(short "$1")" big
}

# definitions_for PARTNER ID FILE: of the host `night`, one each way.
definitions_for() {
    cat >"$work/night/definitions/$1.toml" <<CONFIG
[[definition]]
id = "UP$2"
partner = "$1"
direction = "send"
remote = "{name}"
[[definition]]
id = "DN$2"
partner = "$1"
direction = "fetch"
remote = "$root/stock/$3"
CONFIG
    chmod 600 "$work/night/definitions/$1.toml"
}

# The part of a definition's id that stands for a security: ids have up to 6 characters.
short() { echo "${1^^}" | cut -c 1-4; }

# security_keys SECURITY HOST
security_keys() {
    echo "security = \"$1\""
    case $1 in
        secret) echo 'secret = "0123456789abcdef0123456789abcdef"' ;;
        tls)
            echo "certificate = { file = \"$work/keys/$2.bench.pem\" }"
            echo "key = { file = \"$work/keys/$2.bench.key\" }"
            echo "ca = { file = \"$work/keys/ca.pem\" }"
            ;;
    esac
}

# The port of a receiving host: chosen once.
free_port() {
    [ -f "$work/port-$1" ] ||
        python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' >"$work/port-$1"
    cat "$work/port-$1"
}

start_socket_host() {
    local name=$1
    FERRYWAY_DIR='' FERRYWAY_RUN_DIR=$work/run-$name "$programs/ferryway" run "$work/$name" >>"$work/$name.out" 2>&1 &
    socket_process[$name]=$!
    await "$name" "$work/$name.out" "$programs/ftprel" --dir "$work/$name" --run-dir "$work/run-$name" health
}
