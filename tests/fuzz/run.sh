#!/bin/bash
# run.sh [--keep] [SECONDS]: runs every fuzz target with AddressSanitizer and LeakSanitizer, two at a time, SECONDS each
# (default: an hour in all). Needs root: the module answers nobody else. Interrupt it at any time.
#
# What is found goes to target/fuzz-corpus; with --keep the best of it comes to tests/fuzz/corpus, which `make test` replays. An
# input for which something does not hold ends the run with its file and the command that tries it alone. What was counted
# stands at the end and, for tests/proof.sh, in target/proof/fuzz.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
: "${CARGO_TARGET_DIR:=$PWD/target}"
export CARGO_TARGET_DIR
target=$CARGO_TARGET_DIR
cargo_fuzz=0.13.1
jobs=2

keep=false
[ "${1:-}" != --keep ] || { keep=true; shift; }
mapfile -t names < <(cd "$here/fuzz_targets" && printf '%s\n' *.rs | sed 's/\.rs$//')
seconds=${1:-$((3600 * jobs / ${#names[@]}))}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "usage: run.sh [--keep] [SECONDS]" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "run.sh: needs root: the module answers nobody else" >&2; exit 1; }

"$here/../packages.sh"
if ! command -v c++ >/dev/null; then
    # libFuzzer is C++.
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 install g++ >/dev/null
fi
if ! "$target/cargo-fuzz/bin/cargo-fuzz" --version 2>/dev/null | grep -q " $cargo_fuzz\$"; then
    cargo install --quiet --locked cargo-fuzz --version "$cargo_fuzz" --root "$target/cargo-fuzz" --target-dir "$target/cargo-fuzz/build"
fi
# Sanitizers and coverage are unstable options, which the stable compiler has too.
RUSTC_BOOTSTRAP=1 "$target/cargo-fuzz/bin/cargo-fuzz" fuzz build --fuzz-dir "$here" --target-dir "$target/fuzz"
programs=$target/fuzz/$(rustc -vV | sed -n 's/^host: //p')/release

scratch=$(mktemp -d /dev/shm/mfa-fuzz.XXXXXX)
declare -A pids=()
finish() {
    local pid
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT TERM

export ASAN_OPTIONS=detect_leaks=1:quarantine_size_mb=32:handle_abort=1
export MFA_FUZZ_FOLDER=$scratch
# No input has more than 64 MiB allocated at once, whatever the hash of a passphrase in it says.
common=(-rss_limit_mb=2048 -malloc_limit_mb=64 -timeout=60 -max_len=16384)

start() {
    local name=$1 options=()
    mkdir -p "$target/fuzz-corpus/$name" "$target/fuzz-artifacts/$name"
    [ ! -e "$here/dictionaries/$name.dict" ] || options+=("-dict=$here/dictionaries/$name.dict")
    "$programs/$name" "${common[@]}" "${options[@]}" -max_total_time="$seconds" -print_final_stats=1 \
        -artifact_prefix="$target/fuzz-artifacts/$name/" "$target/fuzz-corpus/$name" "$here/corpus/$name" \
        >"$scratch/$name.log" 2>&1 &
    pids[$name]=$!
}

# count NAME FIELD: the last number behind FIELD in a log of libFuzzer's.
count() { grep -o "$2 *[0-9]*" "$scratch/$1.log" | tail -n 1 | grep -o '[0-9]*$' || echo 0; }
executions() { local n; n=$(count "$1" 'stat::number_of_executed_units:'); [ "$n" != 0 ] || n=$(grep -o '^#[0-9]*' "$scratch/$1.log" | tail -n 1 | tr -d '#'); echo "${n:-0}"; }

failed() {
    local name=$1 input
    input=$(grep -o "Test unit written to .*" "$scratch/$name.log" | tail -n 1 | sed 's/Test unit written to //')
    cp "$scratch/$name.log" "$target/fuzz-artifacts/$name/log"
    {
        echo
        grep -m 1 -A 3 -e 'panicked at' -e 'ERROR: ' -e '^module: ' "$scratch/$name.log" || tail -n 20 "$scratch/$name.log"
        echo "FAILED: $name, input ${input:-unknown}, log $target/fuzz-artifacts/$name/log"
        echo "alone: $programs/$name ${input:-FILE}"
    } >&2
    exit 1
}

begin=$SECONDS
total=$(((${#names[@]} + jobs - 1) / jobs * seconds))
next=0
told=$SECONDS
while [ "$next" -lt "${#names[@]}" ] || [ "${#pids[@]}" -gt 0 ]; do
    while [ "${#pids[@]}" -lt "$jobs" ] && [ "$next" -lt "${#names[@]}" ]; do
        start "${names[next]}"
        echo "target $((next += 1)) of ${#names[@]}: ${names[next - 1]}" >&2
    done
    sleep 1
    for name in "${!pids[@]}"; do
        kill -0 "${pids[$name]}" 2>/dev/null && continue
        pid=${pids[$name]}
        unset "pids[$name]"
        wait "$pid" || failed "$name"
    done
    if [ $((SECONDS - told)) -ge 15 ]; then
        told=$SECONDS
        left=$((total - (SECONDS - begin)))
        for name in "${!pids[@]}"; do
            echo "  $name: $(executions "$name") executions, $(count "$name" 'cov:') edges; $((left > 0 ? left / 60 : 0)) min left" >&2
        done
    fi
done

if $keep; then
    # By edges alone and not by how often each was taken: what is replayed is to be small.
    for name in "${names[@]}"; do
        "$here/merge.sh" "$programs/$name" "$name" "${common[@]}"
    done
fi

mkdir -p "$target/proof"
{
    echo "Fuzzing"
    "$here/../proof.sh" stamp "make fuzz"
    sum=0
    for name in "${names[@]}"; do
        n=$(executions "$name")
        sum=$((sum + n))
        printf '%s: executions; edges\t%s; %s\n' "$name" "$n" "$(count "$name" 'cov:')"
    done
    printf 'all targets: executions\t%s\n' "$sum"
    printf 'seconds for each target\t%s\n' "$seconds"
    printf 'crashes, leaks, timeouts, properties that did not hold\t0\n'
    printf 'of these, hashes of passphrases (PHC strings) and what is said of new ones\t%s\n' "$(executions passphrase)"
    printf 'import formats\tnot built yet\n'
} >"$target/proof/fuzz"
while IFS=$'\t' read -r what counted; do [ -z "$counted" ] || echo "proof: Fuzzing: $what: $counted"; done <"$target/proof/fuzz"
