#!/bin/bash
# make bench: how long logins take, beside Debian's peers, on a test host of its own. Needs root.
#
#   run.sh [QUICK]              everything
#   run.sh PROMPTS              prompts and delivery alone
#   run.sh LOGIN [MEMORY] [MODULE…]
#                               what one login costs, in time, instructions and system calls; with several modules, as
#                               before.so after.so, side by side. Without one: MFA_MODULE, or the one that is built here.
#                               MEMORY: without waiting for the disk
set -euo pipefail
arguments=()
for argument in "$@"; do
    case $argument in */* | *.so) argument=$(readlink -e "$argument") || { echo "run.sh: no such module" >&2 && exit 1; } ;; esac
    arguments+=("$argument")
done
[ -z "${MFA_MODULE:-}" ] || MFA_MODULE=$(readlink -e "$MFA_MODULE")
tests=$(cd "$(dirname "$0")/.." && pwd)
cd "$tests/.."
[ "$(id -u)" = 0 ] || { echo "run.sh: needs root" >&2; exit 1; }

"$tests/packages.sh"
cargo build --release --locked --quiet
cargo build --release --locked --quiet -p mfa-tests --bin bench
target=${CARGO_TARGET_DIR:-target}
exec "$tests/host/enter" "$(readlink -f "$target")/release/bench" "${arguments[@]}"
