#!/bin/bash
# certificates.sh FOLDER: makes a certification authority and what a mail server may show, once.
#
#   ca.pem            the authority; what [courier.smtp] ca_file names
#   right.pem         for mail.example.com and localhost, good for a year
#   expired.pem       the same, over since 2021
#   self-signed.pem   the same, signed by nobody else
#   other-host.pem    for mail.example.net alone
#
# Each has its key beside it, NAME.key, which root and Debian-exim read. For everybody else the folder is readable.
set -euo pipefail
[ $# = 1 ] || { echo "usage: certificates.sh FOLDER" >&2; exit 2; }
[ ! -e "$1/complete" ] || exit 0
mkdir -p "$1"
chmod 755 "$1"
cd "$1"
umask 027

quietly() { "$@" >>openssl.log 2>&1 || { cat openssl.log >&2; exit 1; }; }
key() { quietly openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"; }

ours=DNS:mail.example.com,DNS:localhost
cat >authority.conf <<'CONFIGURATION'
[ca]
default_ca = authority
[authority]
new_certs_dir = .
database = index.txt
rand_serial = yes
default_md = sha256
default_days = 365
policy = any
unique_subject = no
copy_extensions = copy
x509_extensions = server
[any]
commonName = supplied
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
authorityKeyIdentifier = keyid
CONFIGURATION
: >index.txt

key ca
quietly openssl req -config /dev/null -x509 -new -key ca.key -out ca.pem -days 365 -subj "/CN=Test authority of pam_mfa" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign -addext subjectKeyIdentifier=hash

# sign NAME HOSTS OPTIONS…
sign() {
    local name=$1 hosts=$2
    shift 2
    key "$name"
    quietly openssl req -config /dev/null -new -key "$name.key" -out "$name.csr" \
        -subj "/CN=$name" -addext "subjectAltName=$hosts"
    quietly openssl ca -config authority.conf -batch -notext -keyfile ca.key -cert ca.pem \
        -in "$name.csr" -out "$name.pem" "$@"
}
sign right "$ours"
sign expired "$ours" -startdate 20200101000000Z -enddate 20210101000000Z
sign other-host DNS:mail.example.net
key self-signed
quietly openssl req -config /dev/null -x509 -new -key self-signed.key -out self-signed.pem -days 365 \
    -subj /CN=self-signed -addext "subjectAltName=$ours" -addext basicConstraints=critical,CA:FALSE

chmod 644 ./*.pem
if getent group Debian-exim >/dev/null; then
    chgrp Debian-exim ./*.key
    chmod 640 ./*.key
fi
: >complete
