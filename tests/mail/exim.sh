#!/bin/bash
# exim.sh [--certificate NAME] [--mechanisms "PLAIN LOGIN"] [NAME…]: becomes a real mail server on a test host (see
# tests/host/enter), with exim.conf and a certificate of certificates.sh. It has a box for each of the host's people,
# for root, ops and security, and for each further NAME: maildirs in /run/mail/boxes. Mail survives a restart.
#
# Once it was started, /usr/sbin/sendmail works as well, also when the server has ended.
set -euo pipefail
[ -d /run/.host ] || { echo "exim.sh: this is no test host; run it below tests/host/enter" >&2; exit 2; }
[ -x /usr/sbin/exim4 ] || { echo "exim.sh: there is no exim4; run tests/packages.sh" >&2; exit 2; }

certificate=right
mechanisms="PLAIN LOGIN XOAUTH2"
while [ $# -gt 1 ]; do
    case $1 in
    --certificate) certificate=$2 ;;
    --mechanisms) mechanisms=$2 ;;
    *) break ;;
    esac
    shift 2
done

parts=$(dirname "$(readlink -f "$0")")
mkdir -p /run/mail /etc/exim4
"$parts/certificates.sh" /run/mail/tls
[ -e "/run/mail/tls/$certificate.pem" ] || { echo "exim.sh: certificates.sh makes no $certificate" >&2; exit 2; }
install -d -o Debian-exim -g Debian-exim -m 755 /run/mail/boxes /run/mail/log
install -d -o Debian-exim -g Debian-exim -m 750 /var/spool/exim4
for name in alice bob carol dave erin mallory root ops security "$@"; do echo "$name: $name"; done >/run/mail/people
# exim4 takes a configuration as root's own only from where Debian has it, and starts itself anew by it.
{
    echo "CERTIFICATE = $certificate"
    echo "MECHANISMS = $(tr 'A-Z ' 'a-z:' <<<"$mechanisms")"
    cat "$parts/exim.conf"
} >/etc/exim4/exim4.conf
exec /usr/sbin/exim4 -bdf -q2s
