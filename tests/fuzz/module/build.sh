#!/bin/sh
# build.sh OUTDIR: what `make test` replays inputs for the module with, without a fuzzer: OUTDIR/replay and OUTDIR/pam_mfa.so.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: build.sh OUTDIR}
mkdir -p "$out"
out=$(cd "$out" && pwd)
exec 9>"$out/.lock"
flock 9
[ -z "$(find "$here" -name '*.[ch]' -newer "$out/replay" 2>&1)" ] && exit
cd "$here"
${CC:-cc} -O1 -g -std=gnu17 -Wall -Wextra -Werror -fPIC -shared shim.c -o "$out/pam_mfa.so"
# What stands in the place of libc's functions does so for libpam and the module too.
${CC:-cc} -O1 -g -std=gnu17 -Wall -Wextra -Werror -rdynamic replay.c harness.c call.c person.c libc.c courier.c totp.c -o "$out/.new" -lpam -ldl
mv "$out/.new" "$out/replay"
