//! The two-slot block, through the file that it is.

use std::fs;
use std::time::Duration;

use mfa_core::secure_file::{BLOCK_SIZE, BlockError, MAX_PAYLOAD};
use sha2::{Digest, Sha256};

use crate::folder;

const SLOT: usize = BLOCK_SIZE / 2;

/// Generation and payload of a slot whose checksum holds, read by hand.
fn slot(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let length = u32::from_le_bytes(bytes[16..20].try_into().unwrap()) as usize;
    if &bytes[..8] != b"MFAS\x01\0\0\0" || length > MAX_PAYLOAD {
        return None;
    }
    let is_sound = Sha256::digest(&bytes[..20 + length])[..] == bytes[SLOT - 32..];
    is_sound.then(|| {
        (
            u64::from_le_bytes(bytes[8..16].try_into().unwrap()),
            &bytes[20..20 + length],
        )
    })
}

/// Makes checksums hold where the last byte of a slot asks for it: libFuzzer finds none by itself.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.len() != BLOCK_SIZE {
        return bytes;
    }
    for slot in bytes.chunks_exact_mut(SLOT) {
        let length = u32::from_le_bytes(slot[16..20].try_into().unwrap()) as usize;
        if slot[SLOT - 1] == 0x5a && length <= MAX_PAYLOAD {
            let sum = Sha256::digest(&slot[..20 + length]);
            slot[SLOT - 32..].copy_from_slice(&sum);
        }
    }
    bytes
}

/// No slot with a wrong checksum is believed, the newest one is; what is written is read again, and the slot that was the
/// newest is left alone until then.
pub fn block(bytes: &[u8]) {
    let mut bytes = with_checksums(bytes);
    // Short inputs as whole files too: most of a slot is zeros.
    if let Some((0x5a, beginning)) = bytes.split_first()
        && beginning.len() < SLOT - 32
    {
        let mut slot = beginning.to_vec();
        slot.resize(SLOT, 0);
        slot[SLOT - 1] = 0x5a;
        bytes = with_checksums(&[slot, vec![0; SLOT]].concat());
    }
    folder::put("block", &bytes);
    let folder = folder::opened();
    let open = || folder.lock_block("block", Duration::ZERO).unwrap();
    let slots = if bytes.len() == BLOCK_SIZE {
        [slot(&bytes[..SLOT]), slot(&bytes[SLOT..])]
    } else {
        [None, None]
    };
    let newest = match slots {
        [Some(first), Some(second)] if first.0 > second.0 => Some(0),
        [_, Some(_)] => Some(1),
        [Some(_), None] => Some(0),
        [None, None] => None,
    };
    let mut block = open();
    match newest.and_then(|place| slots[place]) {
        Some((_, payload)) => assert_eq!(block.payload(), Ok(payload)),
        None => assert!(matches!(block.payload(), Err(BlockError::Corrupt(_)))),
    }
    assert_eq!(block.has_bad_slot(), slots.contains(&None));

    let payload = &bytes[..bytes.len().min(MAX_PAYLOAD)];
    let Some(place) = newest else {
        block.reset(payload).unwrap();
        drop(block);
        let written = fs::read(folder::path().join("block")).unwrap();
        assert_eq!(written.len(), BLOCK_SIZE);
        let block = open();
        assert_eq!(block.payload(), Ok(payload));
        assert!(!block.has_bad_slot());
        return;
    };
    // The last generation that there is: no login comes to it, and one more would be the first again.
    if slots[place].is_some_and(|(generation, _)| generation == u64::MAX) {
        return;
    }
    block.write(payload).unwrap();
    assert!(block.write(&[0; MAX_PAYLOAD + 1]).is_err());
    drop(block);
    assert_eq!(open().payload(), Ok(payload));
    let written = fs::read(folder::path().join("block")).unwrap();
    let kept = place * SLOT..(place + 1) * SLOT;
    assert_eq!(written[kept.clone()], bytes[kept]);
}
