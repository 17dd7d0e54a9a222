//! The two-slot block: 4096 bytes that are changed in place. A change writes the older slot in one
//! write and syncs it; whatever interrupts that, the newer slot still holds what was true before.
//!
//! A slot: `MFAS`, format (u32), generation (u64), length of the payload (u32), all little-endian; the
//! payload; zeros; in the last 32 bytes SHA-256 over all of it but the zeros.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FlockArg, OFlag};
use nix::sys::stat::{FileStat, fstat, major, minor};
use nix::sys::uio::{pread, pwrite};
use nix::unistd::{fdatasync, fsync, ftruncate};
use sha2::{Digest, Sha256};

use super::{FileError, Folder, FolderLock, Locked, Privacy, Problem};

/// Size of the whole file, bytes.
pub const BLOCK_SIZE: usize = 2 * SLOT_SIZE;
/// What one slot can carry, bytes.
pub const MAX_PAYLOAD: usize = SLOT_SIZE - HEADER_SIZE - CHECKSUM_SIZE;

const SLOT_SIZE: usize = 2048;
const HEADER_SIZE: usize = 20;
const CHECKSUM_SIZE: usize = 32;
const MAGIC: &[u8; 4] = b"MFAS";
const FORMAT: u32 = 1;
pub(super) const FIRST_PAUSE: Duration = Duration::from_micros(100);

/// Why a block can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockError {
    /// The file.
    File(FileError),
    /// Somebody else held the lock for as long as could be waited.
    Busy {
        /// Who, if /proc/locks tells.
        holder: Option<i32>,
    },
    /// Neither slot holds, or the size is wrong.
    Corrupt(PathBuf),
    /// What is to be kept does not fit.
    TooLarge(PathBuf),
    /// Only a part was written: the old content stands.
    CutShort(PathBuf),
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Busy { holder: Some(pid) } => write!(f, "the state is locked by process {pid}"),
            Self::Busy { holder: None } => f.write_str("the state is locked by another process"),
            Self::Corrupt(path) => {
                write!(
                    f,
                    "{}: corrupt; run `mfa-admin state reset NAME`",
                    path.display()
                )
            }
            Self::TooLarge(path) => {
                write!(
                    f,
                    "{}: more than {MAX_PAYLOAD} bytes to keep",
                    path.display()
                )
            }
            Self::CutShort(path) => {
                write!(
                    f,
                    "{}: the write was cut short (a limit on file sizes?)",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for BlockError {}

impl From<FileError> for BlockError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

/// An open block, locked for this process until it is dropped.
#[derive(Debug)]
pub struct Block {
    file: Locked<OwnedFd>,
    path: PathBuf,
    slots: [Option<Slot>; 2],
}

#[derive(Clone, Debug)]
struct Slot {
    generation: u64,
    payload: Vec<u8>,
}

impl Folder {
    /// Makes a block of full size that holds `payload`; `false` where a file of that name is already
    /// there, which stays as it is. The file has no name until it is whole and on disk.
    ///
    /// # Errors
    ///
    /// The system refuses, or the payload is too large.
    pub fn create_block(&self, name: &str, payload: &[u8]) -> Result<bool, BlockError> {
        let too_large = || BlockError::TooLarge(self.path.join(name));
        let mut bytes = encode_slot(0, payload).ok_or_else(too_large)?;
        bytes.extend(encode_slot(1, payload).ok_or_else(too_large)?);
        Ok(self.create_file(name, 0o600, &bytes)?)
    }

    /// Waits for the folder's own lock, as [`Folder::lock`] does, at most as long as `patience`.
    ///
    /// # Errors
    ///
    /// The system refuses, or somebody else has it locked.
    pub fn lock_within(&self, patience: Duration) -> Result<FolderLock, BlockError> {
        let fail = |errno| BlockError::File(FileError::system(&self.path, errno));
        let mut waited = Duration::ZERO;
        lock(self.reopen().map_err(fail)?, patience, &mut waited)
            .map_err(fail)?
            .map(FolderLock::new)
            .map_err(|fd| BlockError::Busy {
                holder: lock_holder(&fd),
            })
    }

    /// Opens a block and waits for its lock, at most as long as `patience`.
    ///
    /// # Errors
    ///
    /// The file is missing or can't be trusted, or somebody else has it locked. A corrupt block can be
    /// locked: [`Block::payload`] says so, [`Block::reset`] mends it.
    pub fn lock_block(&self, name: &str, patience: Duration) -> Result<Block, BlockError> {
        let path = self.path.join(name);
        let mut waited = Duration::ZERO;
        loop {
            let (fd, opened) = self.open_file(name, OFlag::O_RDWR, Privacy::Private)?;
            let file = lock(fd, patience, &mut waited)
                .map_err(|errno| BlockError::File(FileError::system(&path, errno)))?
                .map_err(|fd| BlockError::Busy {
                    holder: lock_holder(&fd),
                })?;
            // The name may meanwhile be another file's: a removed user that was added again.
            let fail = |errno| BlockError::File(FileError::system(&path, errno));
            match self.stat(name) {
                Ok(named) if (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino) => {
                    let slots = read_slots(&file, &opened).map_err(fail)?;
                    return Ok(Block { file, path, slots });
                }
                // Not without end, even on a file system that numbers its files differently each time.
                Ok(_) if waited >= patience => return Err(BlockError::Busy { holder: None }),
                Ok(_) => {
                    std::thread::sleep(FIRST_PAUSE);
                    waited += FIRST_PAUSE;
                }
                Err(errno) => return Err(fail(errno)),
            }
        }
    }
}

impl Block {
    /// What the newest slot that holds carries.
    ///
    /// # Errors
    ///
    /// [`BlockError::Corrupt`].
    pub fn payload(&self) -> Result<&[u8], BlockError> {
        self.newest()
            .map(|(_, slot)| slot.payload.as_slice())
            .ok_or_else(|| BlockError::Corrupt(self.path.clone()))
    }

    /// Whether one of the slots does not hold: a write was interrupted, and nothing is lost; or the disk has damaged it,
    /// and what the last transaction wrote may be.
    #[must_use]
    pub fn has_bad_slot(&self) -> bool {
        self.slots.iter().any(Option::is_none)
    }

    /// Writes the older slot, in one write, and syncs it.
    ///
    /// # Errors
    ///
    /// Nothing is changed then: the newer slot still stands.
    pub fn write(&mut self, payload: &[u8]) -> Result<(), BlockError> {
        let (place, generation) = match self.newest() {
            Some((newest, slot)) => (1 - newest, slot.generation.wrapping_add(1)),
            None => (0, 1),
        };
        self.write_slot(place, generation, payload)
    }

    /// Writes both slots, whatever was there, and cuts what is beyond them.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn reset(&mut self, payload: &[u8]) -> Result<(), BlockError> {
        let generation = self
            .newest()
            .map_or(1, |(_, slot)| slot.generation.wrapping_add(1));
        for place in [0, 1] {
            self.write_slot(place, generation.wrapping_add(place as u64), payload)?;
        }
        let length = i64::try_from(BLOCK_SIZE).unwrap_or(i64::MAX);
        ftruncate(&*self.file, length)
            .and_then(|()| fsync(&*self.file))
            .map_err(|errno| BlockError::File(FileError::system(&self.path, errno)))
    }

    fn newest(&self) -> Option<(usize, &Slot)> {
        let [first, second] = &self.slots;
        match (first, second) {
            (Some(first), Some(second)) if first.generation > second.generation => Some((0, first)),
            (_, Some(second)) => Some((1, second)),
            (Some(first), None) => Some((0, first)),
            (None, None) => None,
        }
    }

    fn write_slot(
        &mut self,
        place: usize,
        generation: u64,
        payload: &[u8],
    ) -> Result<(), BlockError> {
        let bytes = encode_slot(generation, payload)
            .ok_or_else(|| BlockError::TooLarge(self.path.clone()))?;
        let fail = |errno| BlockError::File(FileError::system(&self.path, errno));
        if write_at(&*self.file, &bytes, place * SLOT_SIZE).map_err(fail)? != bytes.len() {
            return Err(BlockError::CutShort(self.path.clone()));
        }
        fdatasync(&*self.file).map_err(fail)?;
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = Some(Slot {
                generation,
                payload: payload.to_vec(),
            });
        }
        Ok(())
    }
}

/// Tries for the lock in growing steps: a transaction takes a tenth of a millisecond. `Ok(Err(fd))`: it
/// was held to the end of the patience.
pub(super) fn lock(
    mut fd: OwnedFd,
    patience: Duration,
    waited: &mut Duration,
) -> Result<Result<Locked<OwnedFd>, OwnedFd>, Errno> {
    let mut pause = FIRST_PAUSE;
    loop {
        match Locked::lock(fd, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => return Ok(Ok(locked)),
            Err((back, Errno::EWOULDBLOCK | Errno::EINTR)) => fd = back,
            Err((_, errno)) => return Err(errno),
        }
        if *waited >= patience {
            return Ok(Err(fd));
        }
        std::thread::sleep(pause);
        *waited += pause;
        pause = (pause * 2).min(Duration::from_millis(5));
    }
}

/// The process that holds a flock(2) on a file, from /proc/locks (proc(5)). The list comes in pieces and can
/// lose a line between two of them while others lock and unlock: it is read again then.
fn lock_holder(fd: &OwnedFd) -> Option<i32> {
    let stat = fstat(fd).ok()?;
    let (major, minor, inode) = (major(stat.st_dev), minor(stat.st_dev), stat.st_ino);
    let file = format!("{major:02x}:{minor:02x}:{inode}");
    (0..5).find_map(|_| {
        let list = std::fs::read_to_string("/proc/locks").ok()?;
        list.lines().find_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                [_, "FLOCK", _, "WRITE", pid, inode, ..] if *inode == file => pid.parse().ok(),
                _ => None,
            }
        })
    })
}

fn write_at(fd: impl std::os::fd::AsFd, bytes: &[u8], offset: usize) -> Result<usize, Errno> {
    let offset = i64::try_from(offset).map_err(|_| Errno::EFBIG)?;
    loop {
        match pwrite(&fd, bytes, offset) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

fn read_slots(fd: &OwnedFd, stat: &FileStat) -> Result<[Option<Slot>; 2], Errno> {
    if usize::try_from(stat.st_size) != Ok(BLOCK_SIZE) {
        return Ok([None, None]);
    }
    let mut bytes = [0; BLOCK_SIZE];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match pread(fd, rest, i64::try_from(filled).map_err(|_| Errno::EFBIG)?) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    let (first, second) = bytes.split_at(SLOT_SIZE);
    Ok([decode_slot(first), decode_slot(second)])
}

fn encode_slot(generation: u64, payload: &[u8]) -> Option<Vec<u8>> {
    if payload.len() > MAX_PAYLOAD {
        return None;
    }
    let mut slot = Vec::with_capacity(SLOT_SIZE);
    slot.extend_from_slice(MAGIC);
    slot.extend_from_slice(&FORMAT.to_le_bytes());
    slot.extend_from_slice(&generation.to_le_bytes());
    slot.extend_from_slice(&u32::try_from(payload.len()).ok()?.to_le_bytes());
    slot.extend_from_slice(payload);
    let checksum = Sha256::digest(&slot);
    slot.resize(SLOT_SIZE - CHECKSUM_SIZE, 0);
    slot.extend_from_slice(&checksum);
    Some(slot)
}

fn decode_slot(bytes: &[u8]) -> Option<Slot> {
    let (body, checksum) = bytes.split_last_chunk::<CHECKSUM_SIZE>()?;
    let (magic, rest) = body.split_first_chunk::<4>()?;
    let (format, rest) = rest.split_first_chunk::<4>()?;
    let (generation, rest) = rest.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let payload = rest.get(..length)?;
    let used = body.get(..HEADER_SIZE + length)?;
    let is_sound = magic == MAGIC
        && u32::from_le_bytes(*format) == FORMAT
        && Sha256::digest(used).as_slice() == checksum;
    is_sound.then(|| Slot {
        generation: u64::from_le_bytes(*generation),
        payload: payload.to_vec(),
    })
}

impl BlockError {
    /// Whether the file is simply not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::File(error) if error.problem == Problem::Missing)
    }
}
