# shellcheck shell=bash
# Shared by the tests of this folder (source it; it is no program).

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=$(mktemp -d "${TMPDIR:-/tmp}/vergence-cluster.XXXXXX")
testbed_folder=$folder/testbed
failures=0 passes=0

say() { printf '%s\n' "$*"; }

# expect TEXT COMMAND…: a named check; the test goes on, and fails in the end.
expect() {
    local text=$1
    shift
    if "$@"; then
        passes=$((passes + 1))
        say "ok: $text"
    else
        failures=$((failures + 1))
        say "FAILED: $text"
    fi
}

# since MOMENT: seconds since a moment that `now` printed, with two decimals.
now() { date +%s%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.2f", (b - a) / 1e9 }'; }

testbed() { "$root/cluster/testbed" --folder "$testbed_folder" "$@"; }

# need_binaries: the programs under test, from .build/release or the folder in VERGENCE_BIN.
need_binaries() {
    binaries=${VERGENCE_BIN:-$root/.build/release}
    local name
    for name in vergence vergence-shards; do
        if [ ! -x "$binaries/$name" ]; then
            say "$binaries/$name is missing; build it with: swift build -c release"
            exit 66
        fi
    done
}

# make_data: a small set of synthetic pairs. training: what all runs of the test share.
make_data() {
    data=$folder/data
    "$binaries/vergence-shards" synth "$data" --pairs 24 --size 32x64 --seed 1 >/dev/null
    training=(--set width=8 --set levels=8 --lanes 4 --lane-batch 2 --seed 1 --checkpoint-every 20 --validate-every 1000)
}

# steps RUN: how many steps its table has; 0 without one.
steps() {
    if [ -f "$1/steps.csv" ]; then echo $(($(wc -l <"$1/steps.csv") - 1)); else echo 0; fi
}

# await SECONDS COMMAND…
await() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        if [ $SECONDS -ge $end ]; then return 1; fi
        sleep 0.02
    done
}

has_steps() { [ "$(steps "$1")" -ge "$2" ]; }
has_ended() { ! kill -0 "$1" 2>/dev/null; }
same_weights() { cmp "$1/checkpoints/last.safetensors" "$2/checkpoints/last.safetensors"; }

# close: the last line and the exit code.
close() {
    say "$passes passed, $failures failed"
    [ "$failures" -eq 0 ]
}
