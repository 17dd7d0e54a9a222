//! `init`: makes what a host needs, once; run again, it changes nothing.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use mfa_core::audit::{Entry, Event};
use mfa_core::config::{Config, DEFAULT_PATH, EmailBy, Paths};
use mfa_core::hex;
use mfa_core::host::{self, KeyPlace};
use mfa_core::seal::SealingKey;
use mfa_core::secure_file::{self, FileError, Folder, FolderLock, Owner, Problem};
use mfa_core::store::FileStore;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{Gid, Uid, User, fchown};
use serde_json::json;

use crate::cli::InitArgs;
use crate::context::{Context, file_failure, require_root, this_device};
use crate::emergency;
use crate::error::{Failure, Kind};
use crate::output::{Reply, wrap};

/// The file that is shipped: every key at its default, with a comment.
const SHIPPED: &str = include_str!("../../config/mfa.toml");

/// The parts of the spool, each the courier's own.
const SPOOL: [&str; 4] = ["tmp", "new", "deferred", "dead"];

/// What was made, in order.
struct Made<'a, 'c> {
    context: &'a Context<'c>,
    things: Vec<(&'static str, String)>,
}

impl Made<'_, '_> {
    fn note(&mut self, is_new: bool, what: &'static str, path: impl AsRef<Path>) {
        if is_new {
            let path = path.as_ref().display().to_string();
            let entry = Entry {
                reason: Some(what),
                detail: Some(&path),
                ..Entry::default()
            };
            self.context.log_change(Event::Initialised, None, &entry);
            self.things.push((what, path));
        }
    }
}

/// Runs the verb.
pub(crate) fn run(context: &Context<'_>, arguments: &InitArgs) -> Result<Reply, Failure> {
    require_root()?;
    let mut made = Made {
        context,
        things: Vec::new(),
    };
    let (config, _lock) = make_config(context, &mut made)?;
    make_machine_id(context, &config, &mut made)?;
    let courier = make_courier_user(context, &config, arguments.no_user, &mut made)?;
    make_store(&config, &mut made)?;
    make_sealing_key(&config, &mut made)?;
    make_spool(context, &config, courier.as_ref(), &mut made)?;
    make_credentials(&config, courier.as_ref(), &mut made)?;
    make_emergency_file(context, &config, &mut made)?;
    let things = made.things;
    let missing = missing_credential(&config);
    if let (true, Some(name)) = (things.is_empty(), missing) {
        context.output.warn(&format!(
            "{} does not exist, and mfa.toml names it: `{}` keeps what the courier signs in with",
            config.paths.credentials.as_path().join(name).display(),
            set_credential(context, name)
        ));
    }
    let next = next_steps(context, &config, &things);
    let document = json!({
        "changed": !things.is_empty(),
        "config": context.config_path.display().to_string(),
        "made": things
            .iter()
            .map(|(what, path)| json!({ "what": what, "path": path }))
            .collect::<Vec<_>>(),
        "next": next,
    });
    Ok(Reply::done(document, text(context, &things, &next)))
}

fn text(context: &Context<'_>, things: &[(&str, String)], next: &[String]) -> String {
    if things.is_empty() {
        return format!(
            "Everything is there already ({}); nothing was changed.",
            context.config_path.display()
        );
    }
    let mut lines = vec!["Made:".to_owned()];
    lines.extend(
        things
            .iter()
            .map(|(what, path)| format!("  {what:<16}{path}")),
    );
    lines.push("Next:".to_owned());
    lines.extend(next.iter().map(|step| wrap("  - ", "    ", step)));
    lines.join("\n")
}

fn next_steps(context: &Context<'_>, config: &Config, things: &[(&str, String)]) -> Vec<String> {
    let mut next = Vec::new();
    if things.iter().any(|(what, _)| *what == "sealing key") {
        next.push(format!(
            "Back up {} now, apart from the store: without it no app code can be checked.",
            config.paths.seal_key
        ));
    }
    if let Some(name) = missing_credential(config) {
        next.push(format!(
            "{}, which takes it from standard input",
            set_credential(context, name)
        ));
    }
    let option = config_option(context);
    next.push(format!("mfa-admin{option} user add NAME"));
    next.push(format!("mfa-admin{option} app enroll NAME"));
    if things.iter().any(|(what, _)| *what == "emergency file") {
        next.push(format!(
            "mfa-admin{option} emergency generate, for the day when mfa.toml, key or disk are broken"
        ));
    }
    next.push(format!(
        "mfa-admin{option} doctor, before and after a service asks for codes"
    ));
    next
}

/// `--config FILE`, where that is needed to mean this host.
fn config_option(context: &Context<'_>) -> String {
    if context.config_path == Path::new(DEFAULT_PATH) {
        String::new()
    } else {
        format!(" --config {}", context.config_path.display())
    }
}

fn set_credential(context: &Context<'_>, name: &str) -> String {
    let name = format!(" credential set {name}");
    format!("mfa-admin{}{name}", config_option(context))
}

/// The password that the configuration names and nobody has set. A Telegram token that is not there is no
/// mistake: without one, nothing is sent that way.
fn missing_credential(config: &Config) -> Option<&str> {
    let courier = &config.courier;
    let smtp = courier.smtp.as_ref()?;
    let name = smtp.password.as_str();
    let is_needed = courier.email == EmailBy::Smtp && !smtp.username.is_empty();
    let path = config.paths.credentials.as_path().join(name);
    (is_needed && !exists(&path)).then_some(name)
}

/// Obeys the file that is there, else writes one. While the lock of its folder is held, no other `init` is at work:
/// each finds what the one before has made.
fn make_config(
    context: &Context<'_>,
    made: &mut Made<'_, '_>,
) -> Result<(Config, FolderLock), Failure> {
    let path = &context.config_path;
    let Some(folder) = path.parent().filter(|_| path.file_name().is_some()) else {
        return Err(Failure::usage(
            "--config names no file",
            "give a path like DIR/mfa.toml",
        ));
    };
    let is_new_folder = make_folder(folder, 0o755)?;
    made.note(is_new_folder, "folder", folder);
    let (open, name) = secure_file::folder_of(path, Owner::ROOT).map_err(file_failure)?;
    let lock = open.lock().map_err(file_failure)?;
    let text = config_text(folder)?;
    // A file that is there stays, whatever it says.
    if exists(path) {
        return Ok((context.config()?, lock));
    }
    let is_new = open
        .create_file(&name, 0o644, text.as_bytes())
        .map_err(file_failure)?;
    made.note(is_new, "configuration", path);
    Ok((context.config()?, lock))
}

/// The shipped file; for another folder than the default's, with all paths below that.
fn config_text(folder: &Path) -> Result<String, Failure> {
    if Some(folder) == Path::new(DEFAULT_PATH).parent() {
        return Ok(SHIPPED.to_owned());
    }
    let refuse = || {
        Failure::new(
            Kind::ConfigUnusable,
            format!(
                "{}: its name can't stand in a configuration",
                folder.display()
            ),
            "choose an absolute path of plain text, without . or .. in it",
        )
    };
    let mut lines = Vec::new();
    let paths = Paths::below(folder);
    let mut is_inside = false;
    for line in SHIPPED.lines() {
        if line.starts_with('[') {
            is_inside = line == "[paths]";
        }
        let key = line.split(" = ").next().unwrap_or_default();
        let path = paths.iter().find(|(name, _)| is_inside && *name == key);
        lines.push(if let Some((name, path)) = path {
            let path = path.to_str().ok_or_else(refuse)?;
            let escaped = path.replace('\\', "\\\\").replace('"', "\\\"");
            format!("{name} = \"{escaped}\"")
        } else {
            line.to_owned()
        });
    }
    let text = lines.join("\n") + "\n";
    let config = Config::parse(text.as_bytes()).map_err(|_| refuse())?;
    let given = &config.paths;
    let written = [
        &given.store,
        &given.spool,
        &given.seal_key,
        &given.credentials,
        &given.emergency,
        &given.courier,
        &given.machine_id,
    ];
    let is_whole = paths
        .iter()
        .zip(written)
        .all(|((_, path), written)| path == written.as_path());
    if is_whole { Ok(text) } else { Err(refuse()) }
}

/// A host in a folder of its own gets a machine id of its own.
fn make_machine_id(
    context: &Context<'_>,
    config: &Config,
    made: &mut Made<'_, '_>,
) -> Result<(), Failure> {
    let path = config.paths.machine_id.as_path();
    let is_own =
        path.parent() == context.config_path.parent() && path != Path::new("/etc/machine-id");
    if exists(path) || !is_own {
        if let Err(failure) = this_device(config) {
            context.output.warn(&format!(
                "{}; logins are refused until that is mended",
                failure.message
            ));
        }
        return Ok(());
    }
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|_| Failure::no_randomness())?;
    let (folder, name) = secure_file::folder_of(path, Owner::ROOT).map_err(file_failure)?;
    let text = format!("{}\n", hex::encode(&id));
    let is_new = folder
        .create_file(&name, 0o444, text.as_bytes())
        .map_err(file_failure)?;
    made.note(is_new, "machine id", path);
    Ok(())
}

/// The courier's user, made where it is missing.
fn make_courier_user(
    context: &Context<'_>,
    config: &Config,
    is_left_alone: bool,
    made: &mut Made<'_, '_>,
) -> Result<Option<User>, Failure> {
    let name = config.courier.user.as_str();
    let find = || {
        User::from_name(name).map_err(|errno| {
            Failure::failed(
                format!(
                    "the name service can't tell whether there is a user {name}: {}",
                    errno.desc()
                ),
                "try again, or give --no-user",
            )
        })
    };
    if let Some(user) = find()? {
        return Ok(Some(user));
    }
    if is_left_alone {
        return Ok(None);
    }
    let status = Command::new("useradd")
        .args([
            "--system",
            "--user-group",
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
        ])
        .args([
            "--shell",
            "/usr/sbin/nologin",
            "--comment",
            "delivers codes for pam_mfa",
            "--",
            name,
        ])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .status();
    let failure = |why: String| {
        Failure::failed(
            format!("the user {name} could not be made: {why}"),
            "make it yourself (system, no login shell, no home), or give --no-user; then run init again",
        )
    };
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(failure(format!("useradd: {status}"))),
        Err(error) => return Err(failure(format!("useradd: {error}"))),
    }
    let user = find()?;
    if user.is_none() {
        context.output.warn(&format!(
            "useradd made {name}, and the name service does not know it yet"
        ));
    }
    made.note(true, "user", name);
    Ok(user)
}

fn make_store(config: &Config, made: &mut Made<'_, '_>) -> Result<(), Failure> {
    let path = config.paths.store.as_path();
    let is_new = make_folder(path, 0o700)?;
    made.note(is_new, "store", path);
    let is_missing = |error: &FileError| error.problem == Problem::Missing;
    let is_whole = |store: &FileStore| !store.decoy_problems().iter().any(is_missing);
    let present = FileStore::open(path, Owner::ROOT, &config.ignore_unknown);
    if present.as_ref().is_ok_and(is_whole) {
        return Ok(());
    }
    FileStore::create(path, Owner::ROOT, &config.ignore_unknown)?;
    // A store that was left half-made is completed.
    made.note(!is_new, "rest of store", path);
    Ok(())
}

/// The sealing key: never over one that is there, and not in the place of one that was lost.
fn make_sealing_key(config: &Config, made: &mut Made<'_, '_>) -> Result<(), Failure> {
    let path = config.paths.seal_key.as_path();
    let is_bound = KeyPlace::of(config) != KeyPlace::plain(config);
    if is_bound || exists(path) {
        let read = host::load_key(config, Owner::ROOT);
        return read.map(|_| ()).map_err(|error| {
            let mut failure = Failure::from(error);
            if is_bound {
                failure.hint += "; a first key is a plain one: take `[seal] credential` out of mfa.toml, run init, \
                                 then `mfa-admin seal bind`";
            }
            failure
        });
    }
    let store = FileStore::open(
        config.paths.store.as_path(),
        Owner::ROOT,
        &config.ignore_unknown,
    )
    .map_err(file_failure)?;
    if !store.users()?.is_empty() {
        return Err(Failure::new(
            Kind::StoreUnusable,
            format!(
                "{} is gone, and the users' secrets were sealed with it",
                path.display()
            ),
            format!(
                "put it back from your backup; to begin anew, move {} away and run init again",
                config.paths.store
            ),
        ));
    }
    let (folder, name) = parent_of(path)?;
    let key = SealingKey::generate()?;
    let is_new = folder
        .create_file(&name, 0o600, key.to_file_text().as_bytes())
        .map_err(file_failure)?;
    made.note(is_new, "sealing key", path);
    Ok(())
}

fn make_spool(
    context: &Context<'_>,
    config: &Config,
    courier: Option<&User>,
    made: &mut Made<'_, '_>,
) -> Result<(), Failure> {
    let path = config.paths.spool.as_path();
    let is_new = make_folder(path, 0o755)?;
    made.note(is_new, "spool", path);
    let Some(courier) = courier else {
        return Ok(());
    };
    let folder = Folder::open(path, Owner::ROOT).map_err(file_failure)?;
    for name in SPOOL {
        let is_new = make_subfolder(&folder, name, 0o700, Some((courier.uid, courier.gid)))?;
        made.note(is_new, "spool", path.join(name));
        if !is_new {
            mind_strange_part(context, &path.join(name), courier);
        }
    }
    Ok(())
}

/// A part of the spool that was there is left as it is: somebody may have a reason, or have put something in it.
fn mind_strange_part(context: &Context<'_>, path: &Path, courier: &User) {
    let Ok(found) = std::fs::symlink_metadata(path) else {
        return;
    };
    let mode = found.mode() & 0o7777;
    if !found.is_dir() || found.uid() != courier.uid.as_raw() || mode & 0o077 != 0 {
        context.output.warn(&format!(
            "{} is to be a folder of {}'s with mode 0700, and is uid {}'s with mode {mode:04o}: notices may be lost \
             or read; `mfa-admin doctor` says more",
            path.display(),
            courier.name,
            found.uid()
        ));
    }
}

fn make_credentials(
    config: &Config,
    courier: Option<&User>,
    made: &mut Made<'_, '_>,
) -> Result<(), Failure> {
    let path = config.paths.credentials.as_path();
    let is_new = make_folder(path, 0o750)?;
    made.note(is_new, "credentials", path);
    let Some(courier) = courier else {
        return Ok(());
    };
    let folder = Folder::open(path, Owner::ROOT).map_err(file_failure)?;
    let fail = |errno| system_failure(path, errno);
    let group = fstat(&folder).map_err(fail)?.st_gid;
    if group == 0 && courier.gid.as_raw() != 0 {
        fchown(&folder, None, Some(courier.gid)).map_err(fail)?;
        made.note(!is_new, "credentials' group", path);
    }
    Ok(())
}

/// Whom the emergency code is to let in, and where; the code itself is made when somebody is there to keep it. A file
/// that is to be elsewhere than beside mfa.toml is not ours to begin.
fn make_emergency_file(
    context: &Context<'_>,
    config: &Config,
    made: &mut Made<'_, '_>,
) -> Result<(), Failure> {
    let path = config.paths.emergency.as_path();
    if exists(path) || path.parent() != context.config_path.parent() {
        return Ok(());
    }
    let (folder, name) = secure_file::folder_of(path, Owner::ROOT).map_err(file_failure)?;
    let is_new = folder
        .create_file(&name, 0o600, emergency::offered().as_bytes())
        .map_err(file_failure)?;
    made.note(is_new, "emergency file", path);
    Ok(())
}

fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

fn system_failure(path: &Path, errno: Errno) -> Failure {
    Failure::failed(
        format!("{}: {}", path.display(), errno.desc()),
        "see mount, space and permissions of that place, then run init again",
    )
}

/// The folder that a file is to be in, made where it is missing.
fn parent_of(path: &Path) -> Result<(Folder, String), Failure> {
    if let Some(parent) = path.parent() {
        make_folder(parent, 0o755)?;
    }
    secure_file::folder_of(path, Owner::ROOT).map_err(file_failure)
}

/// Makes a folder of root's where there is none, and those above it; what is there has to be safe.
fn make_folder(path: &Path, mode: u32) -> Result<bool, Failure> {
    match Folder::open(path, Owner::ROOT) {
        Ok(_) => return Ok(false),
        Err(FileError {
            problem: Problem::Missing,
            ..
        }) => {}
        Err(error) => return Err(file_failure(error)),
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(system_failure(path, Errno::ENOENT));
    };
    make_folder(parent, 0o755)?;
    let parent = Folder::open(parent, Owner::ROOT).map_err(file_failure)?;
    make_subfolder(&parent, name, mode, None)
}

/// Makes a folder right below another one; mode and owner do not depend on the umask, and are right as soon as it has its name.
fn make_subfolder(
    parent: &Folder,
    name: impl AsRef<OsStr>,
    mode: u32,
    owner: Option<(Uid, Gid)>,
) -> Result<bool, Failure> {
    let name = name.as_ref();
    let path: PathBuf = parent.path().join(name);
    let fail = |errno| system_failure(&path, errno);
    match fstatat(parent.as_fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(_) => return Ok(false),
        Err(Errno::ENOENT) => {}
        Err(errno) => return Err(fail(errno)),
    }
    // It gets its name last: one that is there is taken for right. What an init that was interrupted has left is used.
    let mut temporary = OsString::from(".new-");
    temporary.push(name);
    let temporary = temporary.as_os_str();
    match mkdirat(parent.as_fd(), temporary, Mode::S_IRWXU) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(fail(errno)),
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let folder = openat(parent.as_fd(), temporary, flags, Mode::empty()).map_err(fail)?;
    // In a sticky folder anybody could have made it.
    let found = Uid::from_raw(fstat(&folder).map_err(fail)?.st_uid);
    if !found.is_root() && owner.is_none_or(|(uid, _)| uid != found) {
        return Err(file_failure(FileError {
            path: parent.path().join(temporary),
            problem: Problem::Owner(found.as_raw()),
        }));
    }
    if let Some((uid, gid)) = owner {
        fchown(&folder, Some(uid), Some(gid)).map_err(fail)?;
    }
    fchmod(&folder, Mode::from_bits_truncate(mode)).map_err(fail)?;
    renameat(parent.as_fd(), temporary, parent.as_fd(), name).map_err(fail)?;
    parent.sync().map_err(file_failure)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_folder_gets_the_shipped_file_as_it_is() {
        assert_eq!(config_text(Path::new("/etc/mfa")).unwrap(), SHIPPED);
    }

    #[test]
    fn another_folder_gets_all_paths_below_it_and_the_comments_too() {
        let text = config_text(Path::new("/srv/a \"b\\c")).unwrap();
        assert!(text.contains("store = \"/srv/a \\\"b\\\\c/store\"\n"));
        assert!(!text.contains("\"/var/lib/mfa\"") && !text.contains("\"/etc/"));
        assert_eq!(text.lines().count(), SHIPPED.lines().count());
        let comments = |text: &str| text.lines().filter(|line| line.starts_with('#')).count();
        assert_eq!(comments(&text), comments(SHIPPED));
    }

    #[test]
    fn a_folder_whose_name_can_not_be_written_is_refused() {
        for name in ["/srv/a\nb", "/srv/../etc/x"] {
            assert_eq!(
                config_text(Path::new(name)).unwrap_err().kind,
                Kind::ConfigUnusable
            );
        }
    }
}
