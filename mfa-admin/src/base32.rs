//! Shared secrets as apps write them: base32 (RFC 4648, 6), upper case, without padding.

use zeroize::Zeroizing;

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The text of a secret.
pub(crate) fn encode(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 2));
    let mut push = |bits: u32| {
        if let Some(letter) = usize::try_from(bits & 31)
            .ok()
            .and_then(|place| ALPHABET.get(place))
        {
            text.push(char::from(*letter));
        }
    };
    let (mut buffer, mut count) = (0_u32, 0);
    for byte in bytes {
        buffer = (buffer << 8 | u32::from(*byte)) & 0xfff;
        count += 8;
        while count >= 5 {
            count -= 5;
            push(buffer >> count);
        }
    }
    if count > 0 {
        push(buffer << (5 - count));
    }
    text
}

/// The secret of a text: lower case, blanks, hyphens and padding are no mistakes.
pub(crate) fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let (mut buffer, mut count) = (0_u32, 0);
    for letter in text.trim_end_matches(['=', ' ']).bytes() {
        let value = match letter.to_ascii_uppercase() {
            b' ' | b'-' => continue,
            upper @ b'A'..=b'Z' => upper - b'A',
            digit @ b'2'..=b'7' => digit - b'2' + 26,
            _ => return None,
        };
        buffer = (buffer << 5 | u32::from(value)) & 0xfff;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(buffer >> count & 0xff).ok()?);
        }
    }
    // A letter that carries no whole bit of a byte was lost or added.
    (count < 5).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648_hold() {
        for (bytes, text) in [
            ("", ""),
            ("f", "MY======"),
            ("fo", "MZXQ===="),
            ("foo", "MZXW6==="),
            ("foob", "MZXW6YQ="),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI======"),
        ] {
            assert_eq!(
                encode(bytes.as_bytes()).as_str(),
                text.trim_end_matches('=')
            );
            assert_eq!(decode(text).unwrap().as_slice(), bytes.as_bytes());
        }
    }

    #[test]
    fn what_people_type_is_understood_and_what_is_none_is_refused() {
        assert_eq!(decode("mzxw 6ytb-oi == ").unwrap().as_slice(), b"foobar");
        for text in ["MZXW1", "MZXW0", "M", "MZX", "MZ=W", "MZXW6YTBé", "MZXW\n6"] {
            assert!(decode(text).is_none(), "{text}");
        }
    }
}
