#!/bin/bash
# long.sh SUITE: a suite of tests/tests in its long form, with progress on the terminal. Interrupt it at any time. What it
# counted stands at its end and, for tests/proof.sh, below target/proof. Needs root.
set -euo pipefail
tests=$(cd "$(dirname "$0")" && pwd)
cd "$tests/.."
suite=$1
[ "$(id -u)" = 0 ] || { echo "long.sh: needs root: tests run on hosts of their own, in namespaces" >&2; exit 1; }

"$tests/packages.sh"
cargo build --release --locked --quiet
suites=(--test "$suite")
if [ "$suite" = leaks ]; then
    "$tests/sanitizer.sh"
    # What a host is left with is counted with it, panics included.
    suites+=(--test host_left_alone)
    cargo build --release --locked --quiet -p pam_mfa --features panic-injection --target-dir "${CARGO_TARGET_DIR:-target}/panics"
fi
export MFA_TESTS_LONG=1
MFA_TESTS_STAMP=$("$tests/proof.sh" stamp "make $([ "$suite" = compare ] || echo test-)$suite")
export MFA_TESTS_STAMP
# One test at a time: what races, and what is measured, has the machine to itself.
exec cargo test --locked -p mfa-tests "${suites[@]}" -- --nocapture --include-ignored --test-threads=1
