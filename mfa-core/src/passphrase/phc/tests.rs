use super::super::{Hasher, Passphrase, Pepper};
use super::*;
use crate::seal::SealingKey;

/// What the reference implementation says (argon2-cffi 25: `hash_secret`) of "correct horse battery" and the salt
/// 0123456789abcdef.
const REFERENCES: [&str; 2] = [
    "$argon2id$v=19$m=256,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$xxArdw3Akq5V2N0rZWC8lI9HHv4WAP1K35tFPV7mCL4",
    "$argon2id$v=19$m=1024,t=3,p=4$MDEyMzQ1Njc4OWFiY2RlZg$jMYWaMO+RgCT84XRM0CX22QgGweZXPS6",
];

fn typed(text: &str) -> Passphrase {
    Passphrase::parse(text.as_bytes()).unwrap()
}

fn cost(memory: u32, passes: u32, lanes: u32) -> Cost {
    Cost {
        memory,
        passes,
        lanes,
    }
}

fn is_right(text: &str, hash: &PassphraseHash) -> bool {
    let passphrase = typed(text);
    let key = SealingKey::generate().unwrap();
    Hasher::new(Pepper::of(&key, "alice"))
        .is_right(Some(&passphrase), Some(hash), cost(8, 1, 1))
        .unwrap()
}

#[test]
fn texts_of_the_reference_implementation_are_read_and_checked() {
    for reference in REFERENCES {
        let hash = PassphraseHash::parse(reference).unwrap();
        assert_eq!(hash.salt(), b"0123456789abcdef");
        assert!(is_right("correct horse battery", &hash));
        assert!(!is_right("correct horse batterz", &hash));
        assert_eq!(hash.to_text(), reference);
    }
    let costs = REFERENCES.map(|text| PassphraseHash::parse(text).unwrap().cost());
    assert_eq!(costs, [cost(256, 2, 1), cost(1024, 3, 4)]);
}

#[test]
fn a_hash_survives_its_text_whatever_its_lengths() {
    for length in 16..=64 {
        let bytes = |seed: u8, length: usize| -> Vec<u8> {
            let next = (0..length).map(|place| u8::try_from(place).unwrap().wrapping_mul(seed));
            next.collect()
        };
        let kept = PassphraseHash::new(
            cost(19_456, 2, 1),
            (length % 2 == 0).then_some([251; KEY_ID_LEN]),
            bytes(37, length.min(64)),
            bytes(89, length),
        );
        assert_eq!(PassphraseHash::parse(&kept.to_text()), Ok(kept.clone()));
    }
}

#[test]
fn what_a_host_could_not_compute_is_refused_before_it_tries() {
    let (head, tail) = (
        "$argon2id$v=19$",
        "$MDEyMzQ1Njc4OWFiY2RlZg$AAAAAAAAAAAAAAAAAAAAAA",
    );
    let read = |parameters: &str| PassphraseHash::parse(&format!("{head}{parameters}{tail}"));
    for right in [
        "m=8,t=1,p=1",
        "m=262144,t=16,p=4",
        "m=32,t=1,p=4",
        "m=19456,t=2,p=1",
        "m=19456,t=2,p=1,keyid=+/AAAAAA",
    ] {
        assert!(read(right).is_ok(), "{right}");
    }
    for wrong in [
        "m=4194304,t=2,p=1",
        "m=262145,t=2,p=1",
        "m=7,t=1,p=1",
        "m=31,t=1,p=4",
        "m=19456,t=17,p=1",
        "m=19456,t=4294967296,p=1",
        "m=18446744073709551615,t=2,p=1",
        "m=19456,t=2,p=5",
    ] {
        let error = read(wrong).unwrap_err();
        assert!(error.contains("too much or too little"), "{wrong}: {error}");
    }
    for wrong in [
        "m=0,t=2,p=1",
        "m=19456,t=0,p=1",
        "m=19456,t=2,p=0",
        "",
        "m=19456",
        "m=19456,t=2",
        "t=2,m=19456,p=1",
        "m=19456,t=2,p=1,data=AA",
        "m=19456,t=2,p=1,keyid=",
        "m=19456,t=2,p=1,keyid=AAAAAAA",
        "m=19456,t=2,p=1,keyid=AAAAAAAAAAAA",
        "m=19456,t=2,p=1,keyid=AAAAAAA=",
        "m=19456,t=2,p=1,keyid=AAAAAAAA,data=AA",
        "m=19456,t=2,p=1,data=AA,keyid=AAAAAAAA",
        "keyid=AAAAAAAA,m=19456,t=2,p=1",
        "m=+19456,t=2,p=1",
        "m=019456,t=2,p=1",
        "m=-1,t=2,p=1",
        "m=99999999999999999999999,t=2,p=1",
        "m=19456,t=2,p=1,",
        "m=,t=2,p=1",
    ] {
        let error = read(wrong).unwrap_err();
        assert!(
            error.contains("no hash of a passphrase"),
            "{wrong}: {error}"
        );
    }
}

#[test]
fn other_kinds_and_broken_shapes_are_refused() {
    let good = "$argon2id$v=19$m=8,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$AAAAAAAAAAAAAAAAAAAAAA";
    assert!(PassphraseHash::parse(good).is_ok());
    for wrong in [
        String::new(),
        good.replace("argon2id", "argon2i"),
        good.replace("argon2id", "argon2d"),
        good.replace("v=19", "v=16"),
        good.replace("v=19$", ""),
        good.replace("$argon2id", "argon2id"),
        format!("{good}$AAAA"),
        format!(" {good}"),
        "$6$rounds=5000$abc$def".to_owned(),
        "$".repeat(100),
        format!("{good}{}", "A".repeat(60_000)),
    ] {
        assert!(PassphraseHash::parse(&wrong).is_err(), "{wrong:.80}");
    }
}

#[test]
fn broken_salts_and_hashes_are_refused_and_never_repeated() {
    let text = |salt: &str, hash: &str| format!("$argon2id$v=19$m=8,t=1,p=1${salt}${hash}");
    let (salt, hash) = ("MDEyMzQ1Njc4OWFiY2RlZg", "AAAAAAAAAAAAAAAAAAAAAA");
    assert!(PassphraseHash::parse(&text(salt, hash)).is_ok());
    let long = "A".repeat(88);
    for (salt, hash) in [
        ("", hash),
        ("MDEyMzQ1Ng", hash),
        (long.as_str(), hash),
        ("MDEyMzQ1Njc4OWFiY2RlZg==", hash),
        ("MDEyMzQ1Njc4OWFiY2RlZ", hash),
        ("MDEyMzQ1Njc4OWFiY2RlZh", hash),
        ("MDEyMzQ1Njc4OWFiY2Rl_-", hash),
        ("MDEyMzQ1Njc4OWFi Y2RlZg", hash),
        ("äöüäöüäöüäö", hash),
        (salt, ""),
        (salt, "AAAAAAAAAAAAAAAAAAAA"),
        (salt, "AAAAAAAAAAAAAAAAAAAAAB"),
        (salt, long.as_str()),
        (salt, "AAAAAAAAAAAAAAAAAAAAAA="),
    ] {
        let error = PassphraseHash::parse(&text(salt, hash)).unwrap_err();
        assert!(error.contains("base64"), "{salt} {hash}: {error}");
        assert!(
            !error.contains("MDEy") && !error.contains("AAAA"),
            "{error}"
        );
    }
}

#[test]
fn more_is_asked_for_and_never_less() {
    let kept = |cost| PassphraseHash::new(cost, Some([0; KEY_ID_LEN]), vec![0; 16], vec![0; 32]);
    let usual = cost(19_456, 2, 1);
    assert_eq!(kept(usual).more(usual), None);
    assert_eq!(kept(cost(65_536, 3, 4)).more(usual), None);
    assert_eq!(kept(cost(4096, 1, 1)).more(usual), Some(usual));
    assert_eq!(
        kept(cost(65_536, 1, 1)).more(usual),
        Some(cost(65_536, 2, 1))
    );
    assert_eq!(kept(cost(8192, 4, 1)).more(usual), Some(cost(19_456, 4, 1)));
    // One without a key is made anew whatever it took.
    let foreign = PassphraseHash::new(cost(65_536, 3, 1), None, vec![0; 16], vec![0; 32]);
    assert_eq!(foreign.more(usual), Some(cost(65_536, 3, 1)));
}
