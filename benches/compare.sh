#!/usr/bin/env bash
# Ferryway beside other programs that move files, and beside raw copies, on this machine.
#
#   benches/compare.sh [--rounds N] [--quick] [--dir FOLDER] [--only KIND,...] [--record]
#
# Prints a table for each case. README.md in this folder says what is measured and how. With --record the tables go into RESULTS.md, and are drawn.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(dirname "$here")
servers=${FERRYWAY_FTP_SERVERS:-$project/target/ftp-servers}
programs=${FERRYWAY_PROGRAMS:-${CARGO_TARGET_DIR:-$project/target}/release}

# Each has a file of its name beside this one with three functions: `can_KIND` says why it cannot be
# measured here, `begin_KIND` starts what it needs, `round_KIND NUMBER` measures each of its cases
# once, in the tables of the heading `section`.
kinds=(ftp socket line start crowd)

wanted=("${kinds[@]}") rounds=5 size=full parent=${TMPDIR:-/tmp} record=''
# Where it works, inside of its namespaces.
inside=''

main() {
    arguments "$@"
    if [ -n "$inside" ]; then
        work=$inside
        measure_all
        return
    fi
    trap finish EXIT
    trap 'exit 143' INT TERM
    work=$(mktemp -d "$parent/ferryway-bench.XXXXXX")
    apart "$@" &
    # A signal ends the wait at once.
    wait $!
}

arguments() {
    local kind
    while [ $# -gt 0 ]; do
        case $1 in
            --rounds) rounds=$2 && shift ;;
            --quick) rounds=1 size=quick ;;
            --dir) parent=$2 && shift ;;
            --only) IFS=, read -ra wanted <<<"$2" && shift ;;
            --record) record=yes ;;
            # Only for the first process of the namespaces: it would change the machine's network.
            --inside)
                [ $$ = 1 ] || usage
                inside=$2 && shift
                ;;
            *) usage ;;
        esac
        shift
    done
    for kind in "${wanted[@]}"; do
        [[ " ${kinds[*]} " = *" $kind "* ]] || usage
    done
}

usage() {
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    echo "KIND is one of: ${kinds[*]}" >&2
    exit 2
}

# Measures in namespaces of their own. They end with this script, whatever ends it, and with them all
# that was started there, its networks and its mounts.
apart() {
    local as=()
    [ "$(id -u)" = 0 ] || as=(--map-root-user)
    exec setpriv --pdeathsig KILL unshare "${as[@]}" --net --pid --mount-proc --kill-child \
        "${BASH_SOURCE[0]}" "$@" --inside "$work"
}

measure_all() {
    local kind round running=()
    # shellcheck source=benches/stage.sh
    . "$here/stage.sh"
    # shellcheck source=benches/hosts.sh
    . "$here/hosts.sh"
    for kind in "${kinds[@]}"; do
        # shellcheck disable=SC1090 # One file a kind.
        . "$here/$kind.sh"
    done
    begin_stage
    for kind in "${wanted[@]}"; do
        if "can_$kind"; then
            "begin_$kind"
            running+=("$kind")
        else
            echo "$kind is left out" >&2
        fi
    done
    for ((round = 1; round <= rounds; round++)); do
        for kind in "${running[@]}"; do
            "round_$kind" "$round"
        done
    done
    python3 "$here/report.py" print "$work/results" <(describe)
    if [ -n "$record" ]; then
        python3 "$here/report.py" record "$work/results" <(describe) "$here/RESULTS.md"
        python3 "$here/plot.py"
    fi
}

finish() {
    local status=$?
    trap - EXIT
    kill -KILL %1 2>/dev/null || true
    wait
    [ "$status" = 0 ] || [ "$status" = 143 ] || tail -n 5 "$work"/*.out | cut -c 1-200 >&2 || true
    # Those that end may still make a file.
    rm -rf "$work" 2>/dev/null || { sleep 1 && rm -rf "$work"; }
    exit "$status"
}

main "$@"
