#!/bin/bash
# make bench: how long logins take, and what else they cost, beside Debian's peers, on a test host of its own. Needs root,
# and a machine that has nothing else to do; about seven minutes. Writes docs/bench.md and docs/bench-*.svg.
#
#   run.sh [QUICK]              everything; QUICK: in memory and too little of it, to see that it works; writes below target/
#   run.sh LOGIN [QUICK] [MEMORY] [MODULE…]
#                               what one login costs, in time, instructions and system calls; with several modules, as
#                               before.so after.so, side by side. Without one: MFA_MODULE, or the one that is built here.
#                               MEMORY: without waiting for the disk
set -euo pipefail
arguments=()
whole=yes
for argument in "$@"; do
    case $argument in
    */* | *.so) argument=$(readlink -e "$argument") || { echo "run.sh: no such module" >&2 && exit 1; } ;;
    QUICK | LOGIN) whole= ;;
    esac
    arguments+=("$argument")
done
[ -z "${MFA_MODULE:-}" ] || MFA_MODULE=$(readlink -e "$MFA_MODULE")
tests=$(cd "$(dirname "$0")/.." && pwd)
cd "$tests/.."
[ "$(id -u)" = 0 ] || { echo "run.sh: needs root" >&2; exit 1; }

"$tests/packages.sh"
cargo build --release --locked --quiet
cargo build --release --locked --quiet -p mfa-tests --bin bench
if [ -n "$whole" ]; then
    # It has one length only: what it finds goes to docs/proof.md as well.
    export MFA_TESTS_LONG=1
    MFA_TESTS_STAMP=$("$tests/proof.sh" stamp "make bench")
    export MFA_TESTS_STAMP
fi
target=${CARGO_TARGET_DIR:-target}
exec "$tests/host/enter" "$(readlink -f "$target")/release/bench" "${arguments[@]}"
