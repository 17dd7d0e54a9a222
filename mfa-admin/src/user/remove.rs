//! `user remove`, and whether that would open a door.

use std::path::Path;

use mfa_core::audit::{Entry, Event};
use mfa_core::config::{Config, DEFAULT_PATH, WithoutRecord};
use mfa_core::store::{Store, StoreError, Subject};
use serde_json::json;

use crate::ask;
use crate::context::{Context, no_such_user};
use crate::error::Failure;
use crate::notice::{self, Change};
use crate::output::{Reply, shown};

/// Runs the verb.
pub(super) fn run(
    context: &Context<'_>,
    name: &str,
    is_bypass_allowed: bool,
    is_agreed: bool,
) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(name)?.user;
    // A damaged record can be removed as well.
    let record = match house.store.record(Subject::User(&user)) {
        // A removal that was interrupted is finished.
        Ok(None) if !house.store.has_state(&user)? => return Err(no_such_user(user.as_str())),
        Ok(record) => record,
        Err(error @ StoreError::Content { .. }) => {
            context.output.warn(&error.to_string());
            None
        }
        Err(error) => return Err(error.into()),
    };
    let shown_name = shown(user.as_str());
    if let (Some(door), false) = (
        open_door(&house.config, &context.config_path),
        is_bypass_allowed,
    ) {
        return Err(Failure::refused(
            format!("without a record {shown_name} would be let in without a code: {door}"),
            format!(
                "`mfa-admin user suspend {shown_name} --reason TEXT` keeps {shown_name} out; give \
                 --allow-bypass to remove the record all the same"
            ),
        ));
    }
    ask::confirm(
        &format!("Remove {shown_name}, with all apps and the login state?"),
        is_agreed,
    )?;
    if !house.store.remove(&user)? {
        return Err(no_such_user(user.as_str()));
    }
    context.log_change(Event::UserRemoved, Some(&user), &Entry::default());
    if let Some(record) = &record {
        let change = Change::of(Event::UserRemoved);
        notice::tell(context, &house.config, &[record], change);
    }
    let document = json!({ "changed": true, "user": user.as_str() });
    Ok(Reply::done(document, format!("Removed {shown_name}.")))
}

/// What lets users without a record in without a code, if anything does.
fn open_door(config: &Config, config_path: &Path) -> Option<String> {
    if config.enrolment.without_record == WithoutRecord::Skip {
        return Some(format!(
            "without_record = \"skip\" in {}",
            config_path.display()
        ));
    }
    let folders = ["/etc/pam.d", "/usr/lib/pam.d"];
    folders
        .iter()
        .find_map(|folder| nullok_service(Path::new(folder), config_path))
}

/// A service file with a line that runs our module with `nullok` on this configuration.
fn nullok_service(folder: &Path, config_path: &Path) -> Option<String> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    files
        .into_iter()
        .filter(|path| path.is_file())
        .find_map(|path| {
            let text = std::fs::read(&path).ok()?;
            let text = String::from_utf8_lossy(&text).replace("\\\n", " ");
            let is_open = text.lines().any(|line| has_nullok(line, config_path));
            is_open.then(|| format!("nullok in {}", path.display()))
        })
}

fn has_nullok(line: &str, config_path: &Path) -> bool {
    let line = line.split('#').next().unwrap_or_default();
    let mut words = line
        .split_whitespace()
        .skip_while(|word| !word.ends_with("pam_mfa.so"));
    if words.next().is_none() {
        return false;
    }
    let arguments: Vec<&str> = words.map(|word| word.trim_matches(['[', ']'])).collect();
    let conf = arguments
        .iter()
        .find_map(|word| word.strip_prefix("conf="))
        .unwrap_or(DEFAULT_PATH);
    arguments.contains(&"nullok") && Path::new(conf) == config_path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nullok_counts_where_our_module_has_it_for_this_configuration() {
        let here = Path::new(DEFAULT_PATH);
        for line in [
            "auth required pam_mfa.so nullok",
            "-auth [success=ok default=die] /lib/security/pam_mfa.so audit nullok # x",
            "account required pam_mfa.so conf=/etc/mfa/mfa.toml nullok",
        ] {
            assert!(has_nullok(line, here), "{line}");
        }
        for line in [
            "# auth required pam_mfa.so nullok",
            "auth required pam_mfa.so # nullok",
            "auth required pam_unix.so nullok",
            "auth required pam_mfa.so conf=/srv/mfa.toml nullok",
        ] {
            assert!(!has_nullok(line, here), "{line}");
        }
    }
}
