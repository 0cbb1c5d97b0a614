#!/usr/bin/env bash
# Runs every fuzz target, one after the other, for so many seconds of CPU each, beside whatever else the machine does.
#
#     tests/chaos/fuzz.sh SECONDS [TARGET …]
#
# Seconds of CPU, because a machine that is busy otherwise leaves little of an hour for this.
# Needs a nightly toolchain and cargo-fuzz. Goes on from connector/fuzz/corpus, where what it finds is kept. Prints a row for each
# target; exit code 1 when one found something, which is then in connector/fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/../../connector"
export CARGO_TERM_COLOR=never
seconds="${1:?how many seconds of CPU each target runs}"
shift
renice -n 19 -p "$$" >/dev/null
python3 fuzz/seed.py
cargo +nightly fuzz build
# As they are now: who edits meanwhile changes nothing here.
programs=$(mktemp -d)
trap 'rm -r "$programs"' EXIT
[ "$#" -gt 0 ] || mapfile -t targets < <(cargo +nightly fuzz list)
[ "$#" -eq 0 ] || targets=("$@")
mkdir -p ../target/chaos
host=$(rustc -vV | sed -n 's/^host: //p')
for target in "${targets[@]}"; do cp "fuzz/target/$host/release/$target" "$programs/"; done
found=0

# Seconds of CPU that a process has used; nothing when it has ended.
used() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk -v hz="$(getconf CLK_TCK)" '{ print int(($12 + $13) / hz) }'; }

echo "| target | seconds | executions | corpus | found |"
echo "| --- | --- | --- | --- | --- |"
for target in "${targets[@]}"; do
    log="../target/chaos/fuzz-$target.txt"
    what=nothing
    # A single input may take a minute, most of which a busy machine gives to others.
    mkdir -p "fuzz/artifacts/$target"
    "$programs/$target" -artifact_prefix="fuzz/artifacts/$target/" -max_len=65536 -rss_limit_mb=2048 -timeout=60 \
        -print_final_stats=1 "fuzz/corpus/$target" >"$log" 2>&1 &
    process=$!
    ran=0
    while now=$(used "$process") && [ -n "$now" ]; do
        ran=$now
        [ "$ran" -lt "$seconds" ] || kill -TERM "$process" 2>/dev/null || true
        sleep 1
    done
    # 72: told to end.
    wait "$process" || [ "$?" = 72 ] || { what="see $log"; found=1; }
    stat() { sed -n "s/^stat::$1: *//p" "$log" | tail -n 1; }
    kept=$(find "fuzz/corpus/$target" -type f | wc -l)
    echo "| $target | $ran | $(stat number_of_executed_units) | $kept | $what |"
done
exit "$found"
