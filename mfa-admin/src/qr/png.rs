//! Writes a PNG of one bit a pixel without compression (RFC 2083, RFC 1950, RFC 1951): a QR code of the
//! usual size comes to 22 kB, and a library for it would be seven more crates.

use zeroize::Zeroizing;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// One bit of grey; no compression, filter or interlacing other than the standard ones.
const ONE_BIT_GREY: [u8; 5] = [1, 0, 0, 0, 0];
/// A zlib stream with a window of 32 KiB (RFC 1950, 2.2).
const ZLIB_HEADER: [u8; 2] = [0x78, 0x01];

/// Draws rows of modules, true for black, each `scale` pixels wide and high.
pub(super) fn encode<'a>(
    rows: impl Iterator<Item = &'a [bool]>,
    side: usize,
    scale: usize,
) -> Zeroizing<Vec<u8>> {
    let pixels = side * scale;
    let line_len = 1 + pixels.div_ceil(8);
    let mut lines = Zeroizing::new(Vec::with_capacity(line_len * pixels));
    for row in rows {
        let line = Zeroizing::new(line(row, scale));
        for _ in 0..scale {
            lines.extend_from_slice(&line);
        }
    }
    let length = u32::try_from(pixels).unwrap_or(u32::MAX).to_be_bytes();
    let mut file = Zeroizing::new(Vec::with_capacity(lines.len() + lines.len() / 1000 + 256));
    file.extend_from_slice(SIGNATURE);
    chunk(
        &mut file,
        *b"IHDR",
        &[length.as_slice(), &length, &ONE_BIT_GREY].concat(),
    );
    chunk(&mut file, *b"IDAT", &stored(&lines));
    chunk(&mut file, *b"IEND", &[]);
    file
}

/// A line of pixels, 1 for white, after the byte that says it is not filtered.
fn line(row: &[bool], scale: usize) -> Vec<u8> {
    let mut white = row
        .iter()
        .flat_map(|dark| std::iter::repeat_n(!dark, scale));
    let mut line = vec![0];
    while let Some(first) = white.next() {
        let rest = (0..7).map(|_| white.next().unwrap_or(false));
        line.push(rest.fold(u8::from(first), |byte, bit| byte << 1 | u8::from(bit)));
    }
    line
}

/// A zlib stream of stored blocks (RFC 1951, 3.2.4).
fn stored(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut stream = Zeroizing::new(Vec::with_capacity(bytes.len() + bytes.len() / 1000 + 64));
    stream.extend_from_slice(&ZLIB_HEADER);
    let mut blocks = bytes.chunks(usize::from(u16::MAX)).peekable();
    while let Some(block) = blocks.next() {
        let block_len = u16::try_from(block.len()).unwrap_or(u16::MAX);
        stream.push(u8::from(blocks.peek().is_none()));
        stream.extend_from_slice(&block_len.to_le_bytes());
        stream.extend_from_slice(&(!block_len).to_le_bytes());
        stream.extend_from_slice(block);
    }
    stream.extend_from_slice(&adler32(bytes).to_be_bytes());
    stream
}

fn chunk(file: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    file.extend_from_slice(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    file.extend_from_slice(&kind);
    file.extend_from_slice(data);
    file.extend_from_slice(&crc32(kind.iter().chain(data)).to_be_bytes());
}

/// RFC 2083, 15; bit by bit, which is a millisecond for a file.
fn crc32<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    let crc = bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    });
    !crc
}

/// RFC 1950, 8.2.
fn adler32(bytes: &[u8]) -> u32 {
    let (a, b) = bytes.iter().fold((1, 0), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (a + b) % 65_521)
    });
    b << 16 | a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksums_are_those_of_the_standards() {
        // What every description of them gives as an example.
        assert_eq!(crc32(b"123456789".iter()), 0xcbf4_3926);
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
    }
}
