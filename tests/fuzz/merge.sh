#!/bin/bash
# merge.sh PROGRAM TARGET [OPTION...]: takes from target/fuzz-corpus into tests/fuzz/corpus what reaches further than what is
# there, the smallest inputs first: at most 300 files and 300 kB. Files written by hand, which have names of words, stay.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=$1 name=$2
shift 2
corpus=$here/corpus/$name
merged=$(mktemp -d)
trap 'rm -rf "$merged"' EXIT
mkdir -p "$corpus"
"$program" "$@" -merge=1 -use_counters=0 "$merged" "$corpus" "${CARGO_TARGET_DIR:?}/fuzz-corpus/$name" >/dev/null 2>"$merged.log" ||
    { tail -n 20 "$merged.log" >&2; exit 1; }
rm -f "$merged.log"
find "$corpus" -type f -regextype posix-extended -regex '.*/[0-9a-f]{40}' -delete
files=$(find "$corpus" -type f | wc -l)
bytes=$(find "$corpus" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }')
while read -r size file; do
    cmp -s "$file" "$corpus/$(basename "$file")" && continue
    if [ $((files += 1)) -gt 300 ] || [ $((bytes += size)) -gt 300000 ]; then break; fi
    cp "$file" "$corpus/"
done < <(find "$merged" -type f -printf '%s %p\n' | sort -n)
echo "corpus/$name: $(find "$corpus" -type f | wc -l) files, $(find "$corpus" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }') bytes"
