# Ferryway's hosts in the measurements of compare.sh, which reads this file.

# The process of each.
declare -A host_process=()

# make_host NAME SEND RECEIVE: an installation with these folders as roots; its configuration goes on
# with what follows.
make_host() {
    mkdir -p "$work/$1"/{definitions,plugins,journal,logs,exits,tools/master} "$work/run-$1"
    cp "$programs"/libferryway_*.so "$work/$1/plugins/"
    (umask 077 && cat >"$work/$1/ferryway.toml") <<CONFIG
[instance]
name = "$1"
host_name = "$1.bench"
[roots]
send = ["$2"]
receive = ["$3"]
[limits]
jobs = 1000
CONFIG
}

# start_host NAME [PREFIX...]
start_host() {
    local name=$1
    shift
    FERRYWAY_RUN_DIR=$work/run-$name "$@" "$programs/ferryway" run "$work/$name" >>"$work/$name.out" 2>&1 &
    host_process[$name]=$!
    await "$name" "$work/$name.out" order "$name" health
}

# kill_host NAME [SIGNAL]: without a word to it, or with this one; until it is gone.
kill_host() {
    kill -"${2:-KILL}" "${host_process[$1]}"
    wait "${host_process[$1]}" 2>"$work/wait.out" || true
}

# order HOST WORDS...: has `ftprel` say them.
order() { "$programs/ftprel" --dir "$work/$1" --run-dir "$work/run-$1" "${@:2}"; }

# ferryway_run CASE PROCESSES HOST WORDS...: measures jobs from their order to their end. Each file is a
# job of its own, durable before ftprel says that it is accepted.
ferryway_run() {
    measure "$1" ferryway --service "$2" -- \
        "$programs/ftprel" --dir "$work/$3" --run-dir "$work/run-$3" --json submit --wait "${@:4}" >"$work/ftprel.out"
}

# ferryway_case HOST PROCESSES ID STOCK CASE: the case with the definitions `UPID` and `DNID` of the host;
# STOCK is where the partner has the data.
ferryway_case() {
    local host=$1 processes=$2 id=$3 stock=$4/$set case=$5
    case $case in
        big_up) ferryway_run "$case" "$processes" "$host" "UP$id" "$source/$set/big" ;;
        big_down) ferryway_run "$case" "$processes" "$host" "DN$id" --remote "$stock/big" "$got/big" ;;
        *_up) ferryway_run "$case" "$processes" "$host" "UP$id" --from-file "$work/$set-${case/_/-}" ;;
        *_down)
            ferryway_run "$case" "$processes" "$host" "DN$id" --remote "$stock/${case%_*}/" \
                --from-file "$work/$set-${case/_/-}"
            ;;
    esac
}

# define HOST PARTNER ID UP DOWN: definitions of the host, one each way, for these files of the partner.
define() {
    (umask 077 && cat >"$work/$1/definitions/$3.toml") <<CONFIG
[[definition]]
id = "UP$3"
partner = "$2"
direction = "send"
remote = "$4"
[[definition]]
id = "DN$3"
partner = "$2"
direction = "fetch"
remote = "$5"
CONFIG
}

# ftp_partner NAME ADDRESS PORT [KEYS]
ftp_partner() {
    cat <<CONFIG
[partners.$1]
transport = "ftp"
host = "$2"
port = $3
user = "anonymous"
password = "bench"
tls = "off"
${4:-sessions = $parallel}
CONFIG
}

# socket_partner NAME ADDRESS PORT SECURITY OWN THEIRS [KEYS]: OWN and THEIRS are the hosts.
socket_partner() {
    cat <<CONFIG
[partners.$1]
transport = "socket"
host = "$2"
port = $3
${7:-sessions = $parallel}
$(security_keys "$4" "$5")
$([ "$4" != tls ] || echo "server_name = \"$6.bench\"")
[partners.$1.retry]
first_s = 1
max_s = 1
CONFIG
}

# door ADDRESS PORT SECURITY OWN VISITOR: where the host OWN receives the host VISITOR.
door() {
    cat <<CONFIG
[listen]
transport = "socket"
address = "$1"
port = $2
sessions = 1024
$(security_keys "$3" "$4")
[listen.visitors.VISITOR]
host_name = "$5.bench"
instance = "$5"
may = ["send", "fetch"]
CONFIG
}

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
