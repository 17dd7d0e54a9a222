#!/bin/bash
# make demo: logins through a real sshd on a host of its own (tests/host/enter), told step by step.
# INTERACTIVE=1: stops at the prompt and lets you log in with your own phone.
#
# Exit code: 0 when every login went as it was said to.
set -euo pipefail
self=$(readlink -f "$0")
repository=${self%/tests/demo.sh}
width=76

bold='' dim='' plain=''
if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; fi

# Breaks standard input at blanks.
broken() { fold -s -w "$1" | sed 's/ *$//'; }
say() { broken $width <<<"$*"; }

number=0
step() {
    number=$((number + 1))
    printf '\n%s%d. %s%s\n' "$bold" "$number" "$1" "$plain"
    shift
    [ $# = 0 ] || say "$@"
}

# Shows a command as it could be typed.
shown() { printf '\n  %s$ %s%s\n' "$bold" "$*" "$plain"; }

# -- outside: build, then go in ---------------------------------------------------------------------------------

if [ "${1:-}" != --inside ]; then
    cd "$repository"
    as_root=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || { echo "make demo: needs root for a host of its own" >&2; exit 1; }
        as_root=(sudo '--preserve-env=INTERACTIVE,CARGO_TARGET_DIR')
    fi
    say "pam_mfa: installing what is missing, and building (a minute or two the first time) ..."
    tests/packages.sh
    cargo build --release --locked --quiet
    exec "${as_root[@]}" tests/host/enter "$self" --inside
fi

# -- inside: root on bastion-1, a host that is gone when this script ends ----------------------------------------

cd "$repository"
log=/var/log/auth.log
errors=/run/demo.errors
wrong=0

# Whatever fails unseen is shown.
trap 'cat "$errors" 2>/dev/null; echo "make demo: line $LINENO failed: $BASH_COMMAND" >&2' ERR
quietly() { "$@" >"$errors" 2>&1; }

start_syslog() {
    cat >/run/rsyslog.conf <<'END'
global(workDirectory="/var/spool/rsyslog")
module(load="imuxsock" SysSock.RateLimit.Interval="0")
template(name="line" type="string" string="%TIMESTAMP% %HOSTNAME% %syslogtag%%msg:::sp-if-no-1st-sp%%msg:::drop-last-lf%\n")
auth,authpriv.* action(type="omfile" file="/var/log/auth.log" template="line")
END
    : >$log
    rsyslogd -n -f /run/rsyslog.conf -i /run/rsyslogd.pid &
    until [ -S /dev/log ]; do sleep 0.05; done
}

start_sshd() {
    cat >/etc/ssh/sshd_config <<'END'
ListenAddress 127.0.0.1
HostKey /etc/ssh/ssh_host_ed25519_key
UsePAM yes
KbdInteractiveAuthentication yes
PasswordAuthentication no
UseDNS no
END
    cat >/run/ssh_config <<'END'
PreferredAuthentications keyboard-interactive
PubkeyAuthentication no
NumberOfPasswordPrompts 1
UserKnownHostsFile /run/known_hosts
LogLevel ERROR
END
    quietly ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
    echo "127.0.0.1 $(cat /etc/ssh/ssh_host_ed25519_key.pub)" >/run/known_hosts
    /usr/sbin/sshd -D -f /etc/ssh/sshd_config &
    until (: </dev/tcp/127.0.0.1/22) 2>/dev/null; do sleep 0.05; done
    # The person at the keyboard: types the password, then the code; or asks for one, and types what came by mail.
    cat >/run/askpass <<'END'
#!/bin/bash
case $1 in
*assword*) answer='correct horse' seen='*************' ;;
*"Code sent"*)
    /run/inbox alice 'is your code' >/run/mail-seen
    cat /run/mail-seen >&2
    answer=$(grep -oE -m 1 '[0-9]{6,8}' /run/mail-seen) seen=$answer
    ;;
*) answer=$DEMO_CODE seen=${DEMO_CODE:-[Enter]} ;;
esac
echo "$1$seen" >&2
echo "$answer"
END
    chmod 755 /run/askpass
}

# A company's mail server on this host: exim with TLS, which takes mail only from who has signed in.
start_mail_server() {
    tests/mail/exim.sh >/run/exim.log 2>&1 &
    local tries=0
    until (: </dev/tcp/127.0.0.1/465) 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 400 ] || { cat /run/exim.log >&2; return 1; }
        sleep 0.05
    done
    # inbox NAME WORDS: waits for a mail to somebody whose subject has these words, and shows how it begins.
    cp tests/mail/read.py /run/read-mail
    cat >/run/inbox <<'END'
#!/usr/bin/python3
import glob, json, subprocess, sys, time
name, words = sys.argv[1:]
for _ in range(60):
    paths = "\n".join(glob.glob(f"/run/mail/boxes/{name}/new/*"))
    read = subprocess.run(["/usr/bin/python3", "/run/read-mail"], input=paths, capture_output=True, text=True, check=True)
    for mail in map(json.loads, read.stdout.splitlines()):
        headers = dict(mail["headers"])
        if words in headers["Subject"]:
            text = mail["text"].rstrip().split("\n")
            shown = [f"{key}: {headers[key]}" for key in ("From", "To", "Subject")] + [""] + text[:15]
            for line in shown + (["[...]"] if len(text) > 15 else []):
                print(f"  | {line}".rstrip())
            sys.exit(0)
    time.sleep(0.1)
sys.exit(f"no mail to {name} about {words!r}")
END
    chmod 755 /run/inbox
}

# Prints what pam_mfa has written to the log since `mark`, when the line with the id $1 is there.
mark=0
show_log() {
    local tries=0
    until tail -c +$((mark + 1)) $log | grep -q "id=$1"; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || break
        sleep 0.05
    done
    printf '\n  In the log:\n%s' "$dim"
    tail -c +$((mark + 1)) $log | grep 'pam_mfa(.*mfa v=1\|mfa-admin.*mfa v=1' | sed -E 's/^.{15} [^ ]+ //' |
        broken $((width - 6)) | sed -E 's/^/      /; s/^ {6}((sshd|mfa-admin)\[)/    \1/'
    printf '%s' "$plain"
    if ! tail -c +$((mark + 1)) $log | grep -q "id=$1"; then
        echo "  NOT AS EXPECTED: no line with $1"
        wrong=$((wrong + 1))
    fi
}

step_now() { echo $(($(date +%s) / 30)); }
# code_of SECRET STEP: what an app shows in that half minute.
code_of() { oathtool --totp --base32 "$1" --now "@$(($2 * 30))"; }

# log_in USER CODE in|out ID: a login by the real ssh client; how it ends, and the id of the line that says so.
log_in() {
    local user=$1 code=$2 expected=$3 id=$4 ended=out
    mark=$(stat -c %s $log)
    shown "ssh $user@127.0.0.1 'echo \$(id -un) is in on \$(hostname)'"
    # shellcheck disable=SC2016 # for the shell on the other side
    if SSH_ASKPASS=/run/askpass SSH_ASKPASS_REQUIRE=force DEMO_CODE=$code \
        ssh -F /run/ssh_config "$user@127.0.0.1" 'echo $(id -un) is in on $(hostname)' \
        </dev/null 2>&1 | sed 's/^/  /'; then
        ended=in
    fi
    if [ $ended != "$expected" ]; then
        echo "  NOT AS EXPECTED: $user is $ended"
        wrong=$((wrong + 1))
    fi
    show_log "$id"
}

# doctor_is_content_with ID: shows what doctor has to say about that; other lines are about parts that this host lacks.
doctor_is_content_with() {
    mfa-admin doctor >/run/doctor 2>>"$errors" || true
    if ! grep -A 1 "^ok .*$1" /run/doctor; then
        grep -A 2 "$1" /run/doctor || true
        echo "  NOT AS EXPECTED: doctor is not content with $1"
        wrong=$((wrong + 1))
    fi
}

# Shows a mail that has to be there.
inbox() {
    if ! /run/inbox "$@" 2>&1; then
        echo "  NOT AS EXPECTED: no such mail"
        wrong=$((wrong + 1))
    fi
}

say "This is bastion-1, a host that exists for this demo only: sshd, PAM, syslog and people of its own. Nothing of the machine that it runs on is touched, and it is gone at the end."

step "Setting up" "The module, the courier and mfa-admin are installed, sshd asks for password and code, and \`mfa-admin init\` makes the sealing key and the folders."
quietly make install PREFIX=/usr
install -D -m 0644 config/mfa.toml /etc/mfa/mfa.toml
# The defaults but for this: a refused login is over after one prompt, not three.
[ -n "${INTERACTIVE:-}" ] || sed -i 's/^tries = 3/tries = 1/' /etc/mfa/mfa.toml
cp config/pam.d/sshd-code-after-password /etc/pam.d/sshd
start_syslog
shown "mfa-admin init"
mfa-admin init
start_sshd

if [ -n "${INTERACTIVE:-}" ]; then
    step "Enrolling alice, with your phone" "Scan the QR code with any authenticator app, then type the code that it shows."
    shown "mfa-admin user add alice"
    mfa-admin user add alice
    shown "mfa-admin app enroll alice --label phone"
    mfa-admin app enroll alice --label phone || {
        say "She is not enrolled. To begin anew: make demo INTERACTIVE=1"
        exit 1
    }
    step "Logging in" "You are alice. Her password is: correct horse. The code that you have just typed is used up: wait for the next one. You can try it several times: with a wrong code, or the same one again. Leave with \`exit\`."
    while :; do
        mark=$(stat -c %s $log)
        shown "ssh alice@127.0.0.1"
        ssh -F /run/ssh_config alice@127.0.0.1 || true
        show_log MFA-1004
        printf '\nOnce more? [Y/n] '
        read -r answer || break
        case $answer in [nN]*) break ;; esac
    done
    exit 0
fi

step "Enrolling alice" "She gets on the approved list, for this host, and scans the QR code with her phone. (The phone is zbarimg reading the picture, and oathtool computing its codes.)"
shown "mfa-admin user add alice"
mfa-admin user add alice
shown "mfa-admin app enroll alice --label phone"
# The phone: waits for the picture, reads it, and types its code.
phone() {
    local uri=''
    until uri=$(zbarimg -q --raw /run/alice.png 2>/dev/null) && [ -n "$uri" ]; do sleep 0.1; done
    sed -E 's/.*[?&]secret=([A-Z2-7]+).*/\1/' <<<"$uri" >/run/phone
    step_now >/run/used-step
    code_of "$(cat /run/phone)" "$(cat /run/used-step)"
}
phone | mfa-admin app enroll alice --label phone --qr utf8 --qr-file /run/alice.png --confirm -
secret=$(cat /run/phone)

# The code of the enrolment is used up. The next one is good up to half a minute early.
used=$(cat /run/used-step)
now=$(step_now)
next=$((now > used ? now : used + 1))
right=$(code_of "$secret" $next)
guess=$right
until [ "$guess" != "$right" ] && ! for offset in -3 -2 -1 0 1 2 3; do code_of "$secret" $((now + offset)); done | grep -q "$guess"; do
    guess=$(printf '%06d' $((RANDOM * 32 % 1000000)))
done

step "A login with the app's next code" "The code that confirmed the enrolment is used up; the phone shows the next."
log_in alice "$right" in MFA-2001

step "The same code once more" "Somebody has looked over her shoulder, and knows her password too."
log_in alice "$right" out MFA-2102

step "A wrong code"
log_in alice "$guess" out MFA-2101

step "The right code, on the wrong host" "bob has an app, too, but is assigned to another machine. He sees what anybody sees who mistypes a code; the log tells why."
elsewhere=$(mfa-admin device id --machine-id fedcba9876543210fedcba9876543210)
shown "mfa-admin user add bob --device ${elsewhere:0:8}... --label bastion-2"
mfa-admin user add bob --device "$elsewhere" --label bastion-2
bobs=$(head -c 20 /dev/urandom | base32)
quietly mfa-admin app enroll bob --label phone --secret - --no-confirm --qr none <<<"$bobs"
log_in bob "$(code_of "$bobs" "$(step_now)")" out MFA-2105

step "Why can't bob log in?" "An administrator need not try it out:"
shown "mfa-admin explain bob --service sshd"
mfa-admin explain bob --service sshd

step "Codes by e-mail" "The company has a mail server: a real one (exim), with TLS, a certification authority of its own, and a password. mfa.toml gets these lines, the password comes from a file, and alice's record her address. doctor signs in as a login would."
start_mail_server
cat >>/etc/mfa/mfa.toml <<'END'

[courier.smtp]
host = "mail.example.com"
username = "courier@example.com"
from = "MFA <mfa@example.com>"
ca_file = "/run/mail/tls/ca.pem"
END
echo
tail -n 5 /etc/mfa/mfa.toml | sed "s/^/      $dim/; s/\$/$plain/"
echo 'kestrel: 7 "wings" = 14' >/run/password
shown "mfa-admin credential set smtp-password </run/password"
mfa-admin credential set smtp-password </run/password
shown "mfa-admin user set alice --email alice@example.com --methods app,email"
mfa-admin user set alice --email alice@example.com --methods app,email
shown "mfa-admin doctor | grep -A 1 delivery.email"
doctor_is_content_with delivery.email

step "A login with a code by e-mail" "Her phone is at home. She presses Enter, and compares what the prompt says with what the mail says."
log_in alice '' in MFA-2001

step "And she is told" "Of the login that has just been, and of the change to her account before it. On a host these notices go out by themselves, by mfa-notify.path or cron; here by hand."
shown "mfa-admin notify drain"
mfa-admin notify drain
echo
inbox alice 'logged in'

echo
if [ $wrong != 0 ]; then
    say "$wrong things were not as expected, see above."
    exit 1
fi
echo "${bold}Everything went as it should.${plain}"
echo "To log in with your own phone: make demo INTERACTIVE=1"
