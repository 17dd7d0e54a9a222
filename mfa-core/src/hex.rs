//! Bytes as lower-case hexadecimal digits and back.

/// Two lower-case digits a byte.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    push(&mut text, bytes);
    text
}

/// The same at the end of a text, which has room for it where it is a secret's.
pub fn push(text: &mut String, bytes: &[u8]) {
    // Not by `write!`: formatting machinery took a twentieth of a login's instructions.
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
    text.extend(nibbles.filter_map(|nibble| char::from_digit(nibble.into(), 16)));
}

/// The bytes of an even number of digits, upper case or lower; `None` for anything else.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    // Room for all at once: a vector that grows leaves copies behind, and this may be a key.
    let mut bytes = Vec::with_capacity(pairs.len());
    for [high, low] in pairs {
        bytes.push(nibble(*high)? << 4 | nibble(*low)?);
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_the_way_there_and_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&bytes)).unwrap(), bytes);
        assert_eq!(decode("0aFF"), Some(vec![10, 255]));
    }

    #[test]
    fn what_is_not_hexadecimal_is_refused() {
        for text in ["0", "0g", "+1", " 1", "é"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
