//! Environments that a caller may come up with, and what they point to.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use mfa_tests::pam_host::built;

/// Where all that the environments name lies: whoever opens something here has listened to them.
pub(crate) const TRAP: &str = "/run/hostile";

/// What callers may come up with, a variable or several that belong together.
pub(crate) const ENVIRONMENTS: [&[&str]; 31] = [
    &["TZ=:/run/hostile/tz"],
    &["TZ=/run/hostile/tz"],
    &["TZ=:/dev/zero"],
    &["TZ=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA+167:59:59,M99.99.99"],
    &["TZ=Pacific/Kiritimati", "TZDIR=/run/hostile"],
    &["LD_PRELOAD=/run/hostile/spy.so"],
    &["LD_LIBRARY_PATH=/run/hostile"],
    &["LD_AUDIT=/run/hostile/spy.so"],
    &["LD_DEBUG=all", "LD_DEBUG_OUTPUT=/run/hostile/debug"],
    &[
        "LD_BIND_NOW=1",
        "LD_PROFILE=pam_mfa.so",
        "LD_PROFILE_OUTPUT=/run/hostile",
    ],
    &[
        "RUST_BACKTRACE=full",
        "RUST_LIB_BACKTRACE=full",
        "RUST_LOG=trace",
    ],
    &["RUST_MIN_STACK=99999999999999"],
    &[
        "HOME=/run/hostile/home",
        "XDG_CONFIG_HOME=/run/hostile/home",
    ],
    &[
        "LANG=xx_YY.UTF-99",
        "LC_ALL=../../../run/hostile/locale",
        "LANGUAGE=../../run/hostile",
    ],
    &["LOCPATH=/run/hostile", "LC_ALL=de_DE.UTF-8"],
    &[
        "SSL_CERT_FILE=/run/hostile/ca.pem",
        "SSL_CERT_DIR=/run/hostile",
    ],
    &[
        "http_proxy=http://127.0.0.1:1",
        "https_proxy=http://127.0.0.1:1",
        "ALL_PROXY=socks5://127.0.0.1:1",
        "NO_PROXY=",
    ],
    &[
        "TMPDIR=/run/hostile",
        "TMP=/run/hostile",
        "TEMP=/run/hostile",
    ],
    &["PATH=/run/hostile/bin"],
    &[
        "MALLOC_CHECK_=3",
        "MALLOC_PERTURB_=165",
        "MALLOC_ARENA_MAX=1",
        "MALLOC_TRACE=/run/hostile/trace",
    ],
    &["GLIBC_TUNABLES=glibc.malloc.check=3:glibc.malloc.perturb=165"],
    &["GCONV_PATH=/run/hostile", "NLSPATH=/run/hostile/%N"],
    &[
        "HOSTALIASES=/run/hostile/hosts",
        "RES_OPTIONS=ndots:15 debug",
        "LOCALDOMAIN=evil.example",
        "RESOLV_HOST_CONF=/run/hostile/c",
    ],
    &[
        "NIS_PATH=/run/hostile",
        "GETCONF_DIR=/run/hostile",
        "MEMUSAGE_OUTPUT=/run/hostile/m",
    ],
    &[
        "MFA_CONFIG=/run/hostile/mfa.toml",
        "MFA_LOGIN=000000000000",
        "MFA_LOGIN_SEQ=900",
        "MFA_LOGIN_METHOD=app evil",
    ],
    &[
        "MFA_SMTP_PASSWORD=evil",
        "CREDENTIALS_DIRECTORY=/run/hostile",
        "NOTIFY_SOCKET=/run/hostile/n",
    ],
    &[
        "PAM_USER=root",
        "PAM_RHOST=198.51.100.1",
        "PAM_TTY=tty9",
        "SUDO_UID=0",
        "SUDO_USER=root",
    ],
    &[
        "USER=root",
        "LOGNAME=root",
        "SHELL=/run/hostile/bin/sh",
        "TERM=../../run/hostile",
        "TERMINFO=/run/hostile",
    ],
    &["HOSTNAME=evil", "COLUMNS=1", "LINES=1", "POSIXLY_CORRECT=1"],
    &["A==b", "B=\u{1b}[2J\u{7}", "C=\nid=MFA-2001 user=root"],
    &[
        "GCOV_PREFIX=/run/hostile",
        "ASAN_OPTIONS=log_path=/run/hostile/asan",
        "LLVM_PROFILE_FILE=/run/hostile/p",
    ],
];

/// Puts there what somebody would fall for.
pub(crate) fn set_the_trap() {
    for folder in ["bin", "home", "locale"] {
        fs::create_dir_all(format!("{TRAP}/{folder}")).unwrap();
    }
    // Libraries that would be found by their names, programs that would be, and files that say so.
    for library in [
        "spy.so",
        "libc.so.6",
        "libpam.so.0",
        "libgcc_s.so.1",
        "libnss_files.so.2",
    ] {
        fs::copy(built("env_spy.so"), format!("{TRAP}/{library}")).unwrap();
    }
    for program in ["sh", "id", "mfa-courier", "sendmail"] {
        fs::write(
            format!("{TRAP}/bin/{program}"),
            "#!/bin/sh\n/bin/touch /run/hostile/ran\n",
        )
        .unwrap();
        fs::set_permissions(
            format!("{TRAP}/bin/{program}"),
            fs::Permissions::from_mode(0o755),
        )
        .unwrap();
    }
    for file in ["tz", "ca.pem", "mfa.toml", "hosts"] {
        fs::write(format!("{TRAP}/{file}"), "nonsense\n").unwrap();
    }
    fs::write(format!("{TRAP}/spy"), "").unwrap();
    for path in [TRAP.to_owned(), format!("{TRAP}/spy")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
}

/// All of them together.
pub(crate) fn everything() -> Vec<&'static str> {
    ENVIRONMENTS
        .iter()
        .flat_map(|all| all.iter().copied())
        .collect()
}

/// Whether a program has loaded the library that the environment names.
pub(crate) fn has_been_loaded_into(program: &str) -> bool {
    fs::read_to_string(format!("{TRAP}/spy"))
        .unwrap()
        .lines()
        .any(|line| line == format!("loaded {program}"))
}
