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

/// What is hashed.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    /// What somebody typed.
    pub(crate) text: &'a [u8],
    /// RFC 9106, 3.1: S.
    pub(crate) salt: &'a [u8],
    /// RFC 9106, 3.1: K, empty where there is none.
    pub(crate) key: &'a [u8],
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
        input: Input<'_>,
        work: Work,
        hash: &mut [u8],
    ) -> Result<(), NoMemory> {
        let params = Params::new(work.memory, work.passes, work.lanes, Some(hash.len()))
            .map_err(|_| NoMemory)?;
        self.make_room(params.block_count())?;
        let (algorithm, version) = (Algorithm::Argon2id, Version::V0x13);
        let Input { text, salt, key } = input;
        let computed =
            Argon2::new_with_secret(key, algorithm, version, params).and_then(|argon2| {
                argon2.hash_password_into_with_memory(text, salt, hash, self.memory.as_mut_slice())
            });
        // Block by block: the vector stays as long as it is, and the rest of the room was never used.
        self.memory.iter_mut().for_each(Zeroize::zeroize);
        computed.map_err(|_| NoMemory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    #[test]
    fn a_key_counts_as_it_does_for_the_reference_implementation() {
        // argon2-cffi 25 (`low_level.core`), without a secret and with the bytes 0 to 31 as one.
        let key: Vec<u8> = (0..32).collect();
        for (key, expected) in [
            (
                &[][..],
                "c7102b770dc092ae55d8dd2b6560bc948f471efe1600fd4adf9b453d5ee608be",
            ),
            (
                &key,
                "c9985b4ea1cbefb599100232625ad9369cff7db883640dbed9aed32f65991ff6",
            ),
        ] {
            let input = Input {
                text: b"correct horse battery",
                salt: b"0123456789abcdef",
                key,
            };
            let work = Work {
                memory: 256,
                passes: 2,
                lanes: 1,
            };
            let mut hash = [0; 32];
            Hasher::new().hash(input, work, &mut hash).unwrap();
            assert_eq!(hex::encode(&hash), expected);
        }
    }
}
