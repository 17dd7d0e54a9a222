#!/bin/bash
# make test: everything that can fail, on a fresh Debian 12 with a Rust toolchain. Real logins need root; without
# it each of them is skipped by name, and the names stand at the end once more.
set -euo pipefail
tests=$(cd "$(dirname "$0")" && pwd)
cd "$tests/.."
target=${CARGO_TARGET_DIR:-target}
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}

step() { printf '\n== %s\n' "$*"; }

for tool in fmt clippy; do
    cargo "$tool" --version >/dev/null 2>&1 || {
        echo "make test: cargo $tool is missing: rustup component add rustfmt clippy" >&2
        exit 1
    }
done

step "packages"
"$tests/packages.sh"

step "the module, the courier and the command, as they ship"
cargo build --release --locked -p pam_mfa -p mfa-courier -p mfa-admin

step "the module that panics where it is told to"
cargo build --release --locked -p pam_mfa --features panic-injection --target-dir "$target/panics"

step "format"
cargo fmt --all --check

step "lints"
cargo clippy --locked --workspace --all-targets -- -D warnings

step "tests"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Not `tee` alone: what cargo answers is what this script answers, after the list of what did not run.
answer=0
cargo test --locked --workspace --no-fail-fast 2>&1 | tee "$log" || answer=$?

skipped=$(grep -o 'SKIPPED .*' "$log" | sort -u || true)
if [ -n "$skipped" ]; then
    step "SKIPPED: $(wc -l <<<"$skipped") tests did not run"
    echo "$skipped"
fi
[ "$answer" = 0 ] && step "done" || step "FAILED"
exit "$answer"
