//! Which host this is: the machine id, made application-specific so that the raw one stays confidential
//! (machine-id(5)). This is assignment control, not attestation: root on a host can change the id.

use std::fmt;
use std::path::Path;

use hmac::Mac;
use serde::{Serialize, Serializer};

use crate::document::Wrong;
use crate::document::node::{FromNode, Node};
use crate::hex;
use crate::seal::hmac_sha256;
use crate::secure_file::{self, FileError, Owner};

/// The id of this application, in the sense of `sd_id128_get_machine_app_specific(3)`.
pub const APPLICATION_ID: [u8; 16] = [
    0x8f, 0x0b, 0x6f, 0x2e, 0x4d, 0x6c, 0x4c, 0x0f, 0xa2, 0xf1, 0xa6, 0xb7, 0xd3, 0xc9, 0x5e, 0x10,
];

/// A host, as records name it: 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceId([u8; 16]);

impl DeviceId {
    /// Derives the id from the text of a machine id file.
    ///
    /// # Errors
    ///
    /// The text is not 32 hexadecimal digits, or they are all zero.
    pub fn from_machine_id(text: &str) -> Result<Self, MachineIdError> {
        let digits = text.strip_suffix('\n').unwrap_or(text);
        if digits.is_empty() {
            return Err(MachineIdError::Empty);
        }
        if digits == "uninitialized" {
            return Err(MachineIdError::Uninitialized);
        }
        let bytes: [u8; 16] = hex::decode(digits)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(MachineIdError::NotHexadecimal)?;
        if bytes == [0; 16] {
            return Err(MachineIdError::Zero);
        }
        let mut mac = hmac_sha256(&bytes);
        mac.update(&APPLICATION_ID);
        let digest = mac.finalize().into_bytes();
        let mut id = [0; 16];
        for (place, (to, from)) in id.iter_mut().zip(digest.iter()).enumerate() {
            // Version 4 and the variant of RFC 4122, as systemd sets them.
            *to = match place {
                6 => from & 0x0f | 0x40,
                8 => from & 0x3f | 0x80,
                _ => *from,
            };
        }
        Ok(Self(id))
    }

    /// Takes 32 hexadecimal digits for a device id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        hex::decode(text)?.try_into().ok().map(Self)
    }

    /// The id of the host whose machine id stands in `path`, which may be one symbolic link of the
    /// owner's.
    ///
    /// # Errors
    ///
    /// The file can't be read or trusted, or holds no machine id.
    pub fn read(path: &Path, owner: Owner) -> Result<Self, DeviceError> {
        let bytes = secure_file::read_through_one_link(path, owner).map_err(DeviceError::File)?;
        let text = String::from_utf8_lossy(&bytes);
        Self::from_machine_id(&text).map_err(|error| DeviceError::Content {
            path: path.display().to_string(),
            error,
        })
    }

    /// The first 8 digits, for audit lines.
    #[must_use]
    pub fn short(&self) -> String {
        let [a, b, c, d, ..] = self.0;
        hex::encode(&[a, b, c, d])
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

/// Where a user may log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssignedDevice {
    /// On any host, written `*`.
    Any,
    /// On this one.
    One(DeviceId),
}

impl AssignedDevice {
    /// Whether a host is meant.
    #[must_use]
    pub fn includes(self, device: DeviceId) -> bool {
        match self {
            Self::Any => true,
            Self::One(id) => id == device,
        }
    }
}

impl fmt::Display for AssignedDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::One(id) => id.fmt(f),
        }
    }
}

impl Serialize for AssignedDevice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromNode for AssignedDevice {
    fn from_node(node: Node<'_>) -> Result<Self, Wrong> {
        let offset = node.span().start;
        let text = String::from_node(node)?;
        if text == "*" {
            return Ok(Self::Any);
        }
        DeviceId::parse(&text).map(Self::One).ok_or_else(|| {
            let message = format!(
                "{text:?} is no device id; write the 32 digits that `mfa-admin device id` prints, or \"*\""
            );
            Wrong::at(offset, message)
        })
    }
}

/// Why a text is no machine id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineIdError {
    /// Nothing stands there.
    Empty,
    /// What systemd writes before the first boot is done.
    Uninitialized,
    /// All zero: an image that was never given one.
    Zero,
    /// Too short, too long, or other characters.
    NotHexadecimal,
}

impl fmt::Display for MachineIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the machine id is empty",
            Self::Uninitialized => "the machine id is not initialized",
            Self::Zero => "the machine id is all zeros",
            Self::NotHexadecimal => "the machine id is not 32 hexadecimal digits",
        })?;
        f.write_str("; run systemd-machine-id-setup")
    }
}

impl std::error::Error for MachineIdError {}

/// Why this host could not be told.
#[derive(Debug)]
pub enum DeviceError {
    /// The file.
    File(FileError),
    /// What stands in it.
    Content {
        /// The file.
        path: String,
        /// What is wrong with it.
        error: MachineIdError,
    },
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Content { path, error } => write!(f, "{path}: {error}"),
        }
    }
}

impl std::error::Error for DeviceError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_one_that_systemd_derives() {
        // From systemd-id128(1) 252: `systemd-id128 machine-id --app-specific=8f0b…` on a host with this
        // machine id; the tests of `mfa-tests` ask the program itself for many more.
        let id = DeviceId::from_machine_id("0123456789abcdef0123456789abcdef\n").unwrap();
        assert_eq!(id.to_string(), "fa15090af0e347089755ff96cbd4e6ec");
        assert_eq!(id.short().len(), 8);
    }

    #[test]
    fn a_machine_id_that_says_nothing_is_refused() {
        for (text, error) in [
            ("", MachineIdError::Empty),
            ("\n", MachineIdError::Empty),
            ("uninitialized\n", MachineIdError::Uninitialized),
            ("00000000000000000000000000000000\n", MachineIdError::Zero),
            ("0123456789abcdef", MachineIdError::NotHexadecimal),
            (
                "0123456789abcdef0123456789abcdeg",
                MachineIdError::NotHexadecimal,
            ),
            (
                "0123456789abcdef0123456789abcdef\n\n",
                MachineIdError::NotHexadecimal,
            ),
            (
                "01234567-89ab-cdef-0123-456789abcdef",
                MachineIdError::NotHexadecimal,
            ),
        ] {
            assert_eq!(DeviceId::from_machine_id(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn any_device_has_to_be_asked_for_by_name() {
        let here = DeviceId([1; 16]);
        assert!(AssignedDevice::Any.includes(here));
        assert!(AssignedDevice::One(here).includes(here));
        assert!(!AssignedDevice::One(DeviceId([2; 16])).includes(here));
    }
}
