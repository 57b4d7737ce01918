#!/usr/bin/env bash
# Counts the instructions of fixed amounts of work, and compares them with those on record.
#
#   benches/instructions.sh [--record] [NAME...]
#
# Ends with 1 when one has grown or shrunk by more than 5 %. --record puts the new counts on record,
# in instructions.tsv. README.md in this folder says what moves them.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(dirname "$here")
known=$here/instructions.tsv
measures=${CARGO_TARGET_DIR:-$project/target}/release/measures
limit=5
recording=''
names=(nothing transitions takeover hashes frames large small)

case ${1:-} in
    --record) recording=yes && shift ;;
    -*) sed -n '2,7s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
[ $# = 0 ] || names=("$@")

work=$(mktemp -d "${TMPDIR:-/tmp}/ferryway-instructions.XXXXXX")
trap 'rm -rf "$work"' EXIT

main() {
    local name made
    command -v valgrind >/dev/null || { echo "no valgrind: apt-get install valgrind" >&2 && exit 1; }
    # Neither flags nor a processor of one's own: the release profile, for every x86-64.
    (cd "$project" && env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_TARGET \
        cargo build --release --locked --workspace --bin measures)
    made="$(cd "$project" && rustc --version | cut -d ' ' -f 1,2), $(valgrind --version)"
    for name in "${names[@]}"; do
        printf '%s\t%s\t%s\n' "$name" "$(count "$name")" "$made" >>"$work/counts"
    done
    python3 - "$known" "$work/counts" "$limit" "$recording" <<'PYTHON'
import pathlib, sys

def read(path):
    rows = [line.split("\t") for line in pathlib.Path(path).read_text(encoding="ascii").splitlines()]
    return {name: (int(count), made) for name, count, made in rows}

known_path, counts_path, limit, recording = sys.argv[1:]
known = read(known_path) if pathlib.Path(known_path).exists() else {}
counts = read(counts_path)
over = []
print("| work | instructions | on record | difference |")
print("|---|---|---|---|")
for name, (count, made) in counts.items():
    before, made_before = known.get(name, (None, made))
    percent = (count - before) / before * 100 if before else 0
    shown = f"{percent:+.2f} %" if before else "new"
    print(f"| {name} | {count:,} | {f'{before:,}' if before else '-'} | {shown} |")
    if made != made_before:
        print(f"{name} is on record with {made_before}; here is {made}", file=sys.stderr)
    if abs(percent) > float(limit) or not before:
        over.append(name)
if recording:
    rows = [f"{name}\t{count}\t{made}\n" for name, (count, made) in sorted((known | counts).items())]
    pathlib.Path(known_path).write_text("".join(rows), encoding="ascii")
elif over:
    sys.exit(f"more than {limit} % from what is on record, or not there: {', '.join(over)}")
PYTHON
}

# In memory where there is a folder for that, and with one thread beside those that block.
count() {
    local place output=$work/$1.out
    place=$(mktemp -d "$([ -d /dev/shm ] && echo /dev/shm || echo "$work")/ferryway-instructions.XXXXXX")
    # What is taken over is made before, uncounted.
    [ "$1" != takeover ] || "$measures" flight "$place" 2000
    if ! TOKIO_WORKER_THREADS=1 valgrind --tool=callgrind --callgrind-out-file="$work/$1.callgrind" \
        "$measures" fixed "$1" "$place" >"$output" 2>&1; then
        rm -rf "$place"
        cat "$output" >&2
        return 1
    fi
    rm -rf "$place"
    sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$output"
}

main
