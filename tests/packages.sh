#!/bin/sh
# Installs what a fresh Debian 12 with a Rust toolchain lacks for building and testing, and unpacks into
# target/debian/root what must not be installed on this machine, because its packages bring daemons or write
# into /etc/pam.d: sshd, sudo, rsyslogd, exim4, the peer modules of the benchmark, and a TPM2 in software.
# tests/host/enter overlays that folder. Quick and silent when everything is there; asks nothing; may run several
# times at once.
#
# Exit code: 0 when this machine can build. What only tests need is named on standard error when missing.
# shellcheck disable=SC2086 # lists of words are meant to be split
set -eu
LC_ALL=C.UTF-8
export LC_ALL

tests=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$tests/../target}
mkdir -p "$target"
target=$(cd "$target" && pwd)

# COMMAND-OR-FILE:PACKAGE pairs; a name with a slash is a file (a shell pattern), any other a command.
build_needs="cc:gcc make:make /usr/include/security/pam_modules.h:libpam0g-dev /usr/include/stdio.h:libc6-dev"
test_needs="ssh:openssh-client oathtool:oathtool zbarimg:zbar-tools rsvg-convert:librsvg2-bin
    systemd-id128:systemd /usr/lib/*/faketime/libfaketime.so.1:libfaketime python3:python3 strace:strace valgrind:valgrind
    ps:procps gcore:gdb setpriv:util-linux script:bsdutils su:util-linux login:login chpasswd:passwd mount:mount ip:iproute2
    flock:util-linux logger:bsdutils unshare:util-linux openssl:openssl
    /etc/ssl/certs/ca-certificates.crt:ca-certificates"

unpacked="openssh-server openssh-sftp-server libwrap0 sudo
    rsyslog libestr0 libfastjson4 liblognorm5
    exim4-daemon-light libgnutls-dane0 libunbound8 libevent-2.1-7 libidn12 libnsl2 libtirpc3
    libpam-google-authenticator libqrencode4 libpam-oath liboath0
    swtpm swtpm-libs libtpms0 libjson-glib-1.0-0 libtss2-esys-3.0.2-0 libtss2-mu0 libtss2-sys1 libtss2-rc0
    libtss2-tcti-swtpm0"

say() { echo "packages.sh: $*" | fold -s -w 76 >&2; }

# Prints the packages among the pairs "$@" whose command or file is not here.
missing() {
    for pair in "$@"; do
        name=${pair%%:*}
        case $name in
        */*)
            # Unquoted: the pattern is to be expanded.
            set -- $name
            [ -e "$1" ] || echo "${pair#*:}"
            ;;
        *) command -v "$name" >/dev/null 2>&1 || PATH=$PATH:/usr/sbin:/sbin command -v "$name" >/dev/null 2>&1 || echo "${pair#*:}" ;;
        esac
    done | sort -u
}

if [ "$(id -u)" = 0 ]; then
    as_root() { "$@"; }
elif command -v sudo >/dev/null 2>&1 && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    # At a terminal sudo may ask for the password, and only where something has to be installed.
    as_root() { sudo "$@"; }
else
    as_root() { return 126; }
fi

# The package lists are fetched once, and only when something could not be had without.
update_lists() {
    [ ! -e "$target/.lists-updated-$$" ] || return 0
    : >"$target/.lists-updated-$$"
    as_root apt-get -qq -o Acquire::Retries=3 update >&2 || say "apt-get update failed; trying with the old lists"
}
trap 'rm -f "$target/.lists-updated-$$"' EXIT

install_packages() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
        -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 install "$@" >"$target/packages.log" 2>&1
}

exec 9>"$target/.packages.lock"
command -v flock >/dev/null 2>&1 && flock 9

# shellcheck disable=SC2046 # a list of words
lacking=$(missing $build_needs $test_needs)
if [ -n "$lacking" ]; then
    if as_root true; then
        say "installing" $lacking
        if ! install_packages $lacking; then
            update_lists
            install_packages $lacking || { say "apt-get install failed:"; tail -n 20 "$target/packages.log" >&2; }
        fi
    else
        say "neither root nor sudo; install these first: apt-get install" $lacking
    fi
fi

# Unpacked, not installed. The name of the stamp holds the list, so that a longer list is noticed.
debian=$target/debian
stamp=$(echo $unpacked | cksum | cut -d' ' -f1)
if [ ! -e "$debian/complete-$stamp" ] && command -v apt-get >/dev/null 2>&1; then
    rm -rf "$debian"
    mkdir -p "$debian/archives" "$debian/root/usr/lib" "$debian/root/usr/sbin" "$debian/root/usr/bin"
    # Debian 12 has /usr merged, some of its packages do not know it yet.
    for folder in lib bin sbin; do ln -s "usr/$folder" "$debian/root/$folder"; done
    fetch() (
        cd "$debian/archives"
        apt-get -qq -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=3 download $unpacked >"$target/packages.log" 2>&1
    )
    say "fetching" $unpacked
    if fetch || { update_lists && rm -f "$debian/archives/"* && fetch; }; then
        for archive in "$debian/archives/"*.deb; do dpkg-deb --fsys-tarfile "$archive" |
            tar -x -C "$debian/root" --keep-directory-symlink --no-same-owner --warning=no-timestamp; done
        # tar without root drops set-user-ID and owners: sudo, exim4 and the folders below belong to root here.
        if [ "$(id -u)" = 0 ]; then
            chown -R root:root "$debian/root"
            chmod 4755 "$debian/root/usr/bin/sudo" "$debian/root/usr/sbin/exim4"
        fi
        chmod go-w "$debian" "$debian/root"
        : >"$debian/complete-$stamp"
    else
        say "could not download $unpacked:"
        tail -n 5 "$target/packages.log" >&2
    fi
fi

# What is still missing, said at the end, where it is seen.
for package in $(missing $test_needs); do say "missing for tests: $package"; done
[ -e "$debian/complete-$stamp" ] || say "missing for tests with real logins: $debian/root"
lacking=$(missing $build_needs)
if [ -n "$lacking" ]; then
    say "missing for building:" $lacking
    exit 1
fi
