#!/bin/sh
# make bench: how long logins take, beside Debian's peers, on a test host of its own. Needs root; takes about two minutes.
set -eu
tests=$(cd "$(dirname "$0")/.." && pwd)
cd "$tests/.."
"$tests/packages.sh"
cargo build --release --quiet
cargo build --release --quiet -p mfa-tests --bin bench
target=${CARGO_TARGET_DIR:-target}
exec "$tests/host/enter" "$(readlink -f "$target")/release/bench" "$@"
