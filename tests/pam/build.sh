#!/bin/sh
# build.sh OUTDIR: builds the C side of the tests, where it is older than its sources. May run several times at once.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: build.sh OUTDIR}
mkdir -p "$out"
exec 9>"$out/.lock"
flock 9

# stale FILE: missing, or older than its sources or this script.
stale() {
    source=$here/$(basename "$1" .so).c
    [ ! -e "$1" ] || [ "$source" -nt "$1" ] || [ "$here/facts.h" -nt "$1" ] || [ "$here/build.sh" -nt "$1" ]
}

# Renamed into place: nobody starts half a file.
build() {
    name=$1
    shift
    if stale "$out/$name"; then
        ${CC:-cc} -O2 -Wall -Wextra -Werror "$here/$(basename "$name" .so).c" -o "$out/.new" "$@"
        mv "$out/.new" "$out/$name"
    fi
}

build pam_host -lpam
build killed
build strike
build pam_bench -lpam -ldl
build pam_promptok.so -fPIC -shared -lpam
build pam_delay.so -fPIC -shared -ldl
build pam_vandal.so -fPIC -shared -lpam
build env_spy.so -fPIC -shared -ldl
build pam_leaks -lpam
build pam_forgetful -lpam
