#!/usr/bin/env bash
# The journal and the host as the work grows.
#
#   benches/scale.sh [--quick] [--dir FOLDER] [--out FOLDER] [--only transitions|growth]
#
# Prints durable transitions beside an appended log, and takeovers, memory and jobs a second with
# more and more jobs in the history and in flight. README.md in this folder says what is measured
# and how; the data of the second, and a drawing of it, go to --out.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(dirname "$here")
programs=${FERRYWAY_PROGRAMS:-${CARGO_TARGET_DIR:-$project/target}/release}
parent=${TMPDIR:-/tmp}
out=$project/target/scale
parts=(transitions growth)
rounds=5 seconds=2 starts=5 moved=2000
histories=(100 1000 10000 100000 1000000)
flights=(100 1000 10000 100000)

while [ $# -gt 0 ]; do
    case $1 in
        --quick) rounds=1 seconds=0.5 starts=1 moved=200 histories=(100 1000 10000) flights=(100 1000) ;;
        --dir) parent=$2 && shift ;;
        --out) out=$2 && shift ;;
        --only) parts=("$2") && shift ;;
        *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    esac
    shift
done

work=$(mktemp -d "$parent/ferryway-scale.XXXXXX")
trap 'rm -rf "$work"' EXIT

main() {
    local part
    [ -x "$programs/measures" ] && [ -x "$programs/ferryway" ] || {
        echo "ferryway and measures are not in $programs: cargo build --release --workspace" >&2
        exit 1
    }
    mkdir -p "$out"
    echo "$(nproc) processors, Linux $(uname -r), files on $(stat -f -c %T "$work"), load $(cut -d ' ' -f 1-3 /proc/loadavg)"
    for part in "${parts[@]}"; do
        "$part"
    done
    echo "load at the end $(cut -d ' ' -f 1-3 /proc/loadavg), $SECONDS s"
}

transitions() {
    printf '\n### Durable transitions, medians of %s rounds of %s s each, in turn\n\n' "$rounds" "$seconds"
    "$programs/measures" transitions "$work" "$rounds" "$seconds"
}

# The history grows in one install directory, beside few jobs in flight; then so do the jobs in
# flight, beside the history as it is by then, and beside a short one.
growth() {
    local last=${histories[-1]}
    : >"$out/growth.tsv"
    grow history "${histories[@]}"
    "$programs/measures" flight "$work/history" $((10000 - flights[0]))
    row both "$last" 10000 "$work/history" 0
    rm -rf "$work/history"
    grow flight "${flights[@]}"
    table
    python3 "$here/plots/growth.py" "$out/growth.tsv" "$out/growth.svg"
    echo
    echo "data and drawing: $out/growth.tsv, $out/growth.svg"
}

# grow WHAT COUNT...
grow() {
    local what=$1 count before=0
    shift
    local install=$work/$what
    mkdir -p "$install"
    case $what in
        history) "$programs/measures" flight "$install" "${flights[0]}" ;;
        flight) "$programs/measures" history "$install" 1000 ;;
    esac
    for count in "$@"; do
        echo "$count: $what" >&2
        "$programs/measures" "$what" "$install" $((count - before))
        before=$count
        case $what in
            history) row history "$count" "${flights[0]}" "$install" "$moved" ;;
            flight) row flight 1000 "$count" "$install" 0 ;;
        esac
    done
}

# row SERIES HISTORY FLIGHT INSTALL JOBS
row() {
    local line
    line=$("$programs/measures" takeover "$4" "$programs" "$starts" "$5")
    printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$line" >>"$out/growth.tsv"
}

table() {
    printf '\n### Takeovers, medians of %s, and then %s jobs of 10 KiB\n\n' "$starts" "$moved"
    echo "| in the history | in flight | journal copied, MiB | ready after s (least to most) | first byte after s (least to most) | MiB when ready | jobs/s | MiB after them |"
    echo "|---|---|---|---|---|---|---|---|"
    awk -F '\t' '{
        printf "| %d | %d | %.1f | %s (%s to %s) | %s (%s to %s) | %s | %s | %s |\n",
            $2, $3, $13, $4, $5, $6, $7, $8, $9, $10, $11 == 0 ? "-" : $11, $11 == 0 ? "-" : $12
    }' "$out/growth.tsv"
}

main
