#!/bin/bash
# proof.sh: writes docs/proof.md from what the long forms left below target/proof.
# proof.sh stamp COMMAND: prints the line that says when, from which commit and by which command something was counted.
set -euo pipefail
tests=$(cd "$(dirname "$0")" && pwd)
cd "$tests/.."

if [ "${1:-}" = stamp ]; then
    commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
    [ -z "$(git status --porcelain --untracked-files=no 2>/dev/null)" ] || commit+=" with changes"
    echo "$(date -u +%F), commit $commit, \`$2\`"
    exit
fi

counted=${CARGO_TARGET_DIR:-target}/proof
[ -n "$(ls -A "$counted" 2>/dev/null)" ] || { echo "proof.sh: nothing in $counted: run make proof, or the suites one by one" >&2; exit 1; }
{
    cat <<'HEAD'
# Proof

What the long forms of the tests counted. Each table is printed by the command named above it and copied here by
`make proof`; nothing in here is written by hand. What a suite does, and what it holds to be a failure, stands at the head
of its file below `tests/tests`; a run that met one failure leaves no table.
HEAD
    for part in "$counted"/*; do
        {
            read -r title
            read -r stamp
            printf '\n## %s\n\n%s\n\n| what | count |\n|---|---|\n' "$title" "$stamp"
            while IFS=$'\t' read -r what count; do printf '| %s | %s |\n' "$what" "$count"; done
        } <"$part"
    done
} >docs/proof.md.new
mv docs/proof.md.new docs/proof.md
echo "docs/proof.md: $(grep -c '^## ' docs/proof.md) tables"
