# The line cases of compare.sh, which reads this file: one large file from host to host by socket over
# lines of different lengths, beside nothing else, for no other client goes by them.
#
# The host `night` sends to, and fetches from, the host `plain` over one line for each round trip.

line_round_trips=(0 20 50 100)
line_mib=512
line_process=()

begin_line() {
    local round_trip port
    has_ferryway
    head -c $((line_mib << 20)) "$source/big" >"$source/long" && cp "$source/long" "$root/stock/long"
    prepare_socket_host plain && receiving_host plain >>"$work/plain/ferryway.toml"
    start_socket_host plain
    prepare_socket_host night
    for round_trip in "${line_round_trips[@]}"; do
        port=$(free_port "line-$round_trip")
        "$programs/raw-copy" line "$port" "$(free_port plain)" "$round_trip" >>"$work/line.out" 2>&1 &
        line_process+=($!)
        await "a line" "$work/line.out" bash -c ": </dev/tcp/127.0.0.1/$port"
        partner_over_line "$round_trip" >>"$work/night/ferryway.toml"
        definitions_for "LINE$round_trip" "$round_trip" long
    done
    start_socket_host night
}

partner_over_line() {
    cat <<CONFIG
[partners.LINE$1]
transport = "socket"
host = "127.0.0.1"
port = $(free_port "line-$1")
security = "plain"
CONFIG
}

line_round() {
    local round_trip way arrived words
    for round_trip in "${line_round_trips[@]}"; do
        for way in up down; do
            echo "round $1 of $rounds: $way, a round trip of $round_trip ms" >&2
            find "$root/up" "$got" -mindepth 1 -delete
            sync
            arrived=$root/up/long words=("UP$round_trip" "$source/long")
            [ "$way" = up ] || { arrived=$got/long && words=("DN$round_trip" --remote "$root/stock/" "$arrived"); }
            python3 "$here/measure.py" run "$work/results" \
                "$line_mib MiB $way by socket, $round_trip ms" ferryway \
                --service "${socket_process[night]},${socket_process[plain]}" -- \
                "$programs/ftprel" --dir "$work/night" --run-dir "$work/run-night" --json \
                submit --wait "${words[@]}" >"$work/ftprel.out"
            cmp "$source/long" "$arrived"
        done
    done
}
