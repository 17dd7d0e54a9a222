#!/bin/bash
# sanitizer.sh: what the long form of the leaks suite needs besides: the module, pam_host and pam_vandal.so for the address
# sanitizer, in target/asan. Stable rustc ships the runtime; RUSTC_BOOTSTRAP lets it take the flag. Then the unit tests of
# the module under Miri, where the toolchain has that.
set -euo pipefail
tests=$(cd "$(dirname "$0")" && pwd)
cd "$tests/.."
asan=${CARGO_TARGET_DIR:-target}/asan
triple=$(rustc -vV | sed -n 's/^host: //p')

# With the arguments that make it panic, since unwinding is watched as well.
RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address cargo build --locked --quiet -p pam_mfa --features panic-injection \
    --target "$triple" --target-dir "$asan"
cp "$asan/$triple/debug/libpam_mfa.so" "$asan/pam_mfa.so"

# rustc links the runtime into programs alone: the host brings it, and what it opens finds it there.
runtime=("$(rustc --print sysroot)/lib/rustlib/$triple/lib/"librustc-*_rt.asan.a)
[ -e "${runtime[0]}" ] || { echo "sanitizer.sh: this toolchain has no runtime of the address sanitizer for $triple" >&2; exit 1; }
compile() { ${CC:-cc} -g -O1 -fsanitize=address -fno-omit-frame-pointer -c "$tests/pam/$1.c" -o "$asan/$1.o" "${@:2}"; }
compile pam_host
compile pam_vandal -fPIC
${CC:-cc} "$asan/pam_host.o" -o "$asan/pam_host" -Wl,--whole-archive "${runtime[0]}" -Wl,--no-whole-archive -Wl,--export-dynamic \
    -lpam -lpthread -ldl -lm -lrt -lresolv
${CC:-cc} -shared "$asan/pam_vandal.o" -o "$asan/pam_vandal.so" -lpam

if cargo miri --version >/dev/null 2>&1; then
    cargo miri test --locked -p pam_mfa
else
    echo "sanitizer.sh: Miri is not here; its part is left out" >&2
fi
