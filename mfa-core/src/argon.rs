//! argon2id (RFC 9106) for recovery codes and passphrases, in memory that a host program gets back.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroize;

/// Blocks (KiB) that are asked for at least: more than malloc ever has on its heap (`DEFAULT_MMAP_THRESHOLD_MAX`, 32 MiB).
/// So the pages are fresh from the kernel's, and it gets all of them back at once: of a smaller piece glibc keeps twice as
/// much for ever, and what its heap has at hand depends on who was looked up, and shows in time. What is not filled takes
/// no memory.
const ROOM: usize = 33 * 1024;

/// What a hash costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// KiB.
    pub(crate) memory: u32,
    /// Iterations.
    pub(crate) passes: u32,
    /// Parallelism; computed one after the other.
    pub(crate) lanes: u32,
}

/// The system gives no memory for a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoMemory;

/// Computes hashes, one after the other in the same memory: anew for each, a host's would grow by far more than one takes.
/// Wiped after each hash.
pub(crate) struct Hasher {
    memory: Vec<Block>,
}

impl Hasher {
    /// One that has no memory yet.
    pub(crate) const fn new() -> Self {
        Self { memory: Vec::new() }
    }

    /// KiB that it has.
    pub(crate) fn room(&self) -> usize {
        self.memory.len()
    }

    /// Whether nothing of what was hashed is left.
    #[cfg(test)]
    pub(crate) fn is_wiped(&self) -> bool {
        let is_wiped = |block: &Block| block.as_ref().iter().all(|word| *word == 0);
        self.memory.iter().all(is_wiped)
    }

    /// Sees to so many KiB. A host program is not to end because of us where there are none.
    pub(crate) fn make_room(&mut self, blocks: usize) -> Result<(), NoMemory> {
        if self.memory.len() < blocks {
            // Not to be copied into what is larger.
            self.memory = Vec::new();
            self.memory
                .try_reserve_exact(blocks.max(ROOM))
                .map_err(|_| NoMemory)?;
            self.memory.resize(blocks, Block::new());
        }
        Ok(())
    }

    /// Fills `hash`. Lengths and costs that argon2 refuses, which nobody comes with, are told as a lack of memory.
    pub(crate) fn hash(
        &mut self,
        secret: &[u8],
        salt: &[u8],
        work: Work,
        hash: &mut [u8],
    ) -> Result<(), NoMemory> {
        let params = Params::new(work.memory, work.passes, work.lanes, Some(hash.len()))
            .map_err(|_| NoMemory)?;
        self.make_room(params.block_count())?;
        let computed = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(secret, salt, hash, self.memory.as_mut_slice());
        // Block by block: the vector stays as long as it is, and the rest of the room was never used.
        self.memory.iter_mut().for_each(Zeroize::zeroize);
        computed.map_err(|_| NoMemory)
    }
}
