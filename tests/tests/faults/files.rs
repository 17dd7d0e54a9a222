//! Everything below a host's folder, as it may be compared with another time: without moments, random names and secrets.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

/// Every file and folder by its name below the host's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Files(BTreeMap<String, Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    mode: u32,
    owner: (u32, u32),
    /// None for a folder.
    bytes: Option<Vec<u8>>,
}

/// What a file is like: its name, mode and owner, and its text without what is never the same twice.
pub(crate) type Shapes = BTreeMap<String, Vec<String>>;

impl Files {
    /// All there is, without what `is_left_out`.
    pub(crate) fn below(folder: &Path, is_left_out: fn(&str) -> bool) -> Self {
        let mut found = BTreeMap::new();
        collect(folder, "", is_left_out, &mut found);
        Self(found)
    }

    /// Makes everything as it was: what is there besides is removed.
    pub(crate) fn put(&self, folder: &Path, is_left_out: fn(&str) -> bool) {
        let now = Self::below(folder, is_left_out);
        for (name, entry) in now.0.iter().rev() {
            if !self.0.contains_key(name) {
                let path = folder.join(name);
                match entry.bytes {
                    Some(_) => fs::remove_file(path).unwrap(),
                    None => fs::remove_dir(path).unwrap(),
                }
            }
        }
        for (name, entry) in &self.0 {
            if now.0.get(name) == Some(entry) {
                continue;
            }
            let path = folder.join(name);
            match &entry.bytes {
                Some(bytes) => {
                    let _ = fs::remove_file(&path);
                    fs::write(&path, bytes).unwrap();
                }
                None => drop(fs::create_dir(&path)),
            }
            chown(&path, Some(entry.owner.0), Some(entry.owner.1)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(entry.mode)).unwrap();
        }
    }

    pub(crate) fn shapes(&self) -> Shapes {
        let mut shapes = Shapes::new();
        for (name, entry) in &self.0 {
            let text = match &entry.bytes {
                None => "a folder".to_owned(),
                // Sealed anew it is another text.
                Some(_) if name == "seal.cred" => "a credential".to_owned(),
                Some(bytes) => masked(&text_of(name, bytes)),
            };
            let shape = format!("{:o} {:?} {text}", entry.mode, entry.owner);
            // Of names only ids are never the same twice.
            let name = masked_words(name, 32);
            shapes.entry(name).or_default().push(shape);
        }
        shapes
    }
}

fn collect(
    folder: &Path,
    below: &str,
    is_left_out: fn(&str) -> bool,
    found: &mut BTreeMap<String, Entry>,
) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        if is_left_out(&name) {
            continue;
        }
        let status = fs::symlink_metadata(entry.path()).unwrap();
        let is_folder = status.is_dir();
        found.insert(
            name.clone(),
            Entry {
                mode: status.mode() & 0o7777,
                owner: (status.uid(), status.gid()),
                bytes: (!is_folder).then(|| fs::read(entry.path()).unwrap()),
            },
        );
        if is_folder {
            collect(&entry.path(), &format!("{name}/"), is_left_out, found);
        }
    }
}

/// A file's text; of a login state that of its newer slot.
fn text_of(name: &str, bytes: &[u8]) -> String {
    let is_state = name.contains("state/") && bytes.len() == 4096;
    let text = if is_state {
        bytes
            .chunks(2048)
            .filter_map(payload)
            .max_by_key(|(generation, _)| *generation)
            .map_or(b"no slot holds".as_slice(), |(_, payload)| payload)
    } else {
        bytes
    };
    String::from_utf8_lossy(text).into_owned()
}

/// Generation and payload of a slot (`mfa-core/src/secure_file/block.rs`); whether its checksum holds, whoever reads it
/// next finds out.
fn payload(slot: &[u8]) -> Option<(u64, &[u8])> {
    let generation = u64::from_le_bytes(slot[8..16].try_into().unwrap());
    let length = u32::from_le_bytes(slot[16..20].try_into().unwrap());
    let payload = slot.get(20..20 + usize::try_from(length).unwrap())?;
    slot.starts_with(b"MFAS").then_some((generation, payload))
}

/// Keys whose values are times, which may be short, or random, and may have no digit, or a name that NSS may not tell. The boot is none before the clock of a
/// state has run, which nothing else comes with where a code could not be made.
const MASKED: [&str; 12] = [
    "elapsed_ms",
    "up_ms",
    "wall_ms",
    "window_opened",
    "at",
    "boot",
    "id",
    "set",
    "salt",
    "by",
    "since",
    "left",
];

/// The text with `#` in the place of times, ids, codes and secrets: long words with a digit in them.
fn masked(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once(" = ") {
        Some((key, _)) if MASKED.contains(&key) => format!("{key} = #"),
        // What it costs is no secret: `$argon2id$v=19$m=7168,t=1,p=1$SALT$HASH`.
        Some(("hash", phc)) => {
            let cost = phc.split('$').nth(3).unwrap_or("#");
            format!("hash = {cost}")
        }
        _ => masked_words(line, 8),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Words of so many bytes at least that have a digit.
fn masked_words(line: &str, least: usize) -> String {
    let mut out = String::new();
    let mut word = String::new();
    for c in line.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() || matches!(c, ':' | '+' | '-') {
            word.push(c);
            continue;
        }
        let is_odd = word.len() >= least && word.bytes().any(|byte| byte.is_ascii_digit());
        out.push_str(if is_odd { "#" } else { &word });
        word.clear();
        if c != '\n' {
            out.push(c);
        }
    }
    out
}
