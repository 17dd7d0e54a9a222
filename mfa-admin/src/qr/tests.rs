//! Every picture is read back by zbarimg (zbar-tools); the terminal's, as a terminal would show it.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::*;

/// Pixels of a character cell.
const CELL: (usize, usize) = (8, 16);

/// What a terminal shows where nothing is said of colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Terminal {
    Dark,
    Light,
}

const TERMINALS: [Terminal; 2] = [Terminal::Dark, Terminal::Light];

/// Grey pixels.
struct Picture {
    width: usize,
    lines: Vec<Vec<u8>>,
}

impl Picture {
    /// Shows text as a terminal of 8 × 16 pixel cells would, some cells of its own around it.
    fn of_text(text: &str, terminal: Terminal) -> Self {
        const MARGIN: usize = 3;
        let (ink, paper) = match terminal {
            Terminal::Dark => (220, 20),
            Terminal::Light => (20, 240),
        };
        let rows: Vec<Vec<(char, u8, u8)>> =
            text.lines().map(|line| cells(line, ink, paper)).collect();
        let columns = rows.iter().map(Vec::len).max().unwrap() + 2 * MARGIN;
        let mut lines = vec![vec![paper; columns * CELL.0]; (rows.len() + 2 * MARGIN) * CELL.1];
        for (row, cells) in rows.iter().enumerate() {
            for (column, (character, ink, paper)) in cells.iter().enumerate() {
                for y in 0..CELL.1 {
                    for x in 0..CELL.0 {
                        let shade = if is_inked(*character, x, y) {
                            *ink
                        } else {
                            *paper
                        };
                        lines[(row + MARGIN) * CELL.1 + y][(column + MARGIN) * CELL.0 + x] = shade;
                    }
                }
            }
        }
        Self {
            width: columns * CELL.0,
            lines,
        }
    }

    /// The picture from further away: `pixels` squared become one.
    fn seen_from_afar(&self, pixels: usize) -> Self {
        let mean = |lines: &[Vec<u8>], x: usize| {
            let square = lines
                .iter()
                .flat_map(|line| &line[x * pixels..(x + 1) * pixels]);
            let sum: usize = square.map(|shade| usize::from(*shade)).sum();
            u8::try_from(sum / (pixels * pixels)).unwrap()
        };
        let width = self.width / pixels;
        let squares = self.lines.chunks_exact(pixels);
        let lines = squares
            .map(|lines| (0..width).map(|x| mean(lines, x)).collect())
            .collect();
        Self { width, lines }
    }

    /// Writes a PGM.
    fn save(&self, path: &Path) {
        let mut file = format!("P5\n{} {}\n255\n", self.width, self.lines.len()).into_bytes();
        file.extend(self.lines.iter().flatten());
        fs::write(path, file).unwrap();
    }
}

/// Characters with their colours: the escape sequences that we write are understood.
fn cells(line: &str, ink: u8, paper: u8) -> Vec<(char, u8, u8)> {
    let sequences = [
        (WHITE_ON_BLACK, (255, 0)),
        (ALL_WHITE, (255, 255)),
        (AS_BEFORE, (ink, paper)),
    ];
    let (mut cells, mut colours) = (Vec::new(), (ink, paper));
    let mut rest = line;
    while let Some(character) = rest.chars().next() {
        let sequence = sequences
            .iter()
            .find(|(sequence, _)| rest.starts_with(sequence));
        if let Some((sequence, meant)) = sequence {
            (colours, rest) = (*meant, &rest[sequence.len()..]);
        } else {
            cells.push((character, colours.0, colours.1));
            rest = &rest[character.len_utf8()..];
        }
    }
    cells
}

/// The glyph of `#` in the 8 × 16 font of the VGA.
const HASH: [u8; 16] = [
    0, 0, 0, 0x6c, 0x6c, 0xfe, 0x6c, 0x6c, 0x6c, 0xfe, 0x6c, 0x6c, 0, 0, 0, 0,
];

fn is_inked(character: char, x: usize, y: usize) -> bool {
    match character {
        ' ' => false,
        '█' => true,
        '▀' => y < CELL.1 / 2,
        '▄' => y >= CELL.1 / 2,
        '#' => HASH[y] >> (7 - x) & 1 == 1,
        other => panic!("no glyph for {other:?}"),
    }
}

/// What zbarimg reads in a picture, without its line break; empty where it reads nothing.
fn read(path: &Path, options: &[&str]) -> String {
    let output = Command::new("zbarimg")
        .args([
            "--raw",
            "--quiet",
            "--nodbus",
            "-Sdisable",
            "-Sqrcode.enable",
        ])
        .args(options)
        .arg(path)
        .output()
        .expect("zbarimg is needed: apt-get install zbar-tools");
    let text = String::from_utf8(output.stdout).unwrap();
    text.strip_suffix('\n').unwrap_or(&text).to_owned()
}

/// URIs from short to the longest one: an issuer of 64 bytes and a name of 200, all percent-encoded.
fn uris() -> Vec<String> {
    let uri = |issuer: &str, name: &str, secret: usize| {
        let secret = "JBSWY3DPEHPK3PXP".repeat(secret);
        format!(
            "otpauth://totp/{issuer}:{name}?secret={secret}&issuer={issuer}\
             &algorithm=SHA1&digits=6&period=30"
        )
    };
    let mut uris: Vec<String> = (1..=12)
        .map(|n| uri("bastion-1", &"a".repeat(n * 8), 2))
        .collect();
    uris.push(uri("bastion-1.example.com", "alice", 13));
    uris.push(uri(&"%C3%A9".repeat(32), "alice", 2));
    uris.push(uri(&"%C3%A9".repeat(32), &"%C3%A9".repeat(100), 13));
    uris
}

/// What zbarimg reads of a text on a terminal.
fn read_from(terminal: Terminal, text: &str, options: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("terminal.pgm");
    Picture::of_text(text, terminal).save(&path);
    read(&path, options)
}

#[test]
fn zbarimg_reads_the_code_in_colours_on_dark_and_light_terminals() {
    for uri in uris() {
        let qr = Qr::new(&uri).unwrap();
        for terminal in TERMINALS {
            assert_eq!(
                read_from(terminal, &qr.utf8(true), &[]),
                uri,
                "{terminal:?}"
            );
            assert_eq!(
                read_from(terminal, &qr.ascii(true), &[]),
                uri,
                "{terminal:?}"
            );
        }
    }
}

#[test]
fn zbarimg_reads_the_code_without_colours_on_dark_terminals_and_inverted_on_light_ones() {
    for uri in uris() {
        let shown = Qr::new(&uri).unwrap().utf8(false);
        assert!(!shown.contains('\x1b'));
        assert_eq!(read_from(Terminal::Dark, &shown, &[]), uri);
        assert_eq!(
            read_from(Terminal::Light, &shown, &["-Stest-inverted"]),
            uri
        );
        // Why there is a form in colours.
        assert_eq!(read_from(Terminal::Light, &shown, &[]), "");
    }
}

#[test]
fn zbarimg_reads_the_code_in_ascii_without_colours_from_afar() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("afar.pgm");
    for uri in &uris()[..12] {
        let shown = Qr::new(uri).unwrap().ascii(false);
        Picture::of_text(&shown, Terminal::Dark)
            .seen_from_afar(4)
            .save(&path);
        assert_eq!(read(&path, &[]), *uri);
    }
}

#[test]
fn zbarimg_reads_the_png() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("code.png");
    for uri in uris() {
        fs::write(&path, Qr::new(&uri).unwrap().png()).unwrap();
        assert_eq!(read(&path, &[]), uri);
    }
}

#[test]
fn zbarimg_reads_the_svg_as_rsvg_convert_draws_it() {
    let folder = tempfile::tempdir().unwrap();
    let (svg, png) = (
        folder.path().join("code.svg"),
        folder.path().join("code.png"),
    );
    for uri in uris() {
        fs::write(&svg, Qr::new(&uri).unwrap().svg()).unwrap();
        let status = Command::new("rsvg-convert")
            .arg("-o")
            .args([&png, &svg])
            .status();
        assert!(
            status
                .expect("rsvg-convert is needed: apt-get install librsvg2-bin")
                .success()
        );
        assert_eq!(read(&png, &[]), uri);
    }
}

#[test]
fn a_usual_code_fits_80_columns_and_the_picture_a_screen() {
    for uri in uris().iter().filter(|uri| uri.len() <= 200) {
        let qr = Qr::new(uri).unwrap();
        let shown = qr.utf8(false);
        assert!(
            shown
                .lines()
                .all(|line| line.chars().count() == qr.columns())
        );
        assert!(
            qr.columns() <= 80 && shown.lines().count() <= 40,
            "{} bytes",
            uri.len()
        );
        assert!(
            qr.svg()
                .contains(&format!("width=\"{}\"", qr.columns() * SCALE))
        );
    }
}

#[test]
fn what_does_not_fit_says_so_and_nothing_shows_in_debug_output() {
    let error = Qr::new(&"\u{e9}".repeat(2000)).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("4000 bytes do not fit a QR code")
    );
    assert_eq!(
        format!("{:?}", Qr::new("secret").unwrap()),
        "Qr([redacted], 29 modules wide)"
    );
}
