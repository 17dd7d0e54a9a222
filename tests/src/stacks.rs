//! PAM service files.

use std::fs;

use crate::files::repository;

/// The module and nothing before it: a code is all that is asked.
pub const CODE_ALONE: &str = "\
auth     [success=ok ignore=ignore default=die]  pam_mfa.so
auth     required                                pam_permit.so
account  [success=ok ignore=ignore default=die]  pam_mfa.so
account  required                                pam_permit.so
session  optional                                pam_mfa.so
session  required                                pam_permit.so
";

/// Our examples for sshd.
pub const SSHD_EXAMPLES: [&str; 2] = ["sshd-code-after-password", "sshd-key-and-code"];

/// An example that we ship, from config/pam.d.
pub fn example(name: &str) -> String {
    let path = repository().join("config/pam.d").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The stack with one more argument for the module in every line that names it in `hooks`.
pub fn with_argument(stack: &str, hooks: &[&str], argument: &str) -> String {
    let mut changed = 0;
    let lines: Vec<String> = stack
        .lines()
        .map(|line| {
            let hook = line.split_whitespace().next().unwrap_or_default();
            if hooks.contains(&hook) && line.contains("pam_mfa.so") {
                changed += 1;
                line.replace("pam_mfa.so", &format!("pam_mfa.so {argument}"))
            } else {
                line.to_owned()
            }
        })
        .collect();
    assert!(
        changed >= hooks.len(),
        "pam_mfa.so stands in {changed} lines of {hooks:?}:\n{stack}"
    );
    lines.join("\n") + "\n"
}

/// The same stack for people without a code: `nullok` on auth and account alike.
pub fn with_nullok(stack: &str) -> String {
    with_argument(stack, &["auth", "account"], "nullok")
}
