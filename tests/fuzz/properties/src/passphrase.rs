//! Passphrases: what is kept of them, what can be one, and what is said of a new one.

use mfa_core::config::Config;
use mfa_core::courier::Report;
use mfa_core::passphrase::{Cost, Hasher, Passphrase, PassphraseHash, Pepper, Question};
use mfa_core::seal::SealingKey;
use mfa_courier::probe;

use crate::input::Input;

/// KiB times passes: what is computed for an input, since there is to be time for many.
const MAX_WORK: u32 = 1024;

/// A kept hash is read exactly where it is one that this program writes, prints back to the same, and never takes more than a
/// host can spare. An answer is a passphrase exactly where the manual says so. And whatever is asked of the courier, it says
/// in one line whether a passphrase is good enough, and never that one is which stands in the list of refused words.
pub fn passphrase(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let text = input.text();
    kept(&text, input.bytes());
    let (rules, candidate, user) = (input.byte(), input.bytes(), input.text());
    judged(rules, candidate, &user, input.rest());
    // The whole of it as well: no byte stands between the parts of what people type.
    can_be_one(bytes);
    answers(&probe::judge(&Config::default(), b"", bytes));
}

fn kept(text: &str, typed: &[u8]) {
    let read = PassphraseHash::parse(text);
    assert_eq!(read.is_ok(), is_kept_hash(text), "{text:?}: {read:?}");
    let hash = match read {
        Ok(hash) => hash,
        Err(why) => return assert!(why.contains("passphrase set"), "{why}"),
    };
    assert_eq!(hash.to_text(), text);
    let cost = hash.cost();
    let usual = Cost {
        memory: 8,
        passes: 1,
        lanes: 1,
    };
    if let Some(more) = hash.more(usual) {
        assert!(more.memory >= cost.memory && more.passes >= cost.passes);
    }
    if cost.memory * cost.passes > MAX_WORK {
        return;
    }
    let key = format!("mfa-seal-key:1:{}", "5a".repeat(32));
    let key = SealingKey::from_file_text(key.as_bytes()).unwrap();
    let mut hasher = Hasher::new(Pepper::of(&key, "alice"));
    let typed = Passphrase::parse(typed).ok();
    // Nobody finds what makes the hash that an input says.
    let is_right = hasher.is_right(typed.as_ref(), Some(&hash), usual);
    assert_eq!(is_right, Ok(false));
    assert_eq!(hasher.is_right(typed.as_ref(), None, usual), Ok(false));
    if let Some(typed) = typed {
        let kept = hasher.keep(&typed, cost).unwrap();
        assert_eq!(hasher.is_right(Some(&typed), Some(&kept), usual), Ok(true));
        assert_eq!(PassphraseHash::parse(&kept.to_text()), Ok(kept));
    }
}

/// The format as the manual has it, read once more: by what is between its signs.
fn is_kept_hash(text: &str) -> bool {
    let parts: Vec<&str> = text.split('$').collect();
    let ["", "argon2id", "v=19", parameters, salt, hash] = parts[..] else {
        return false;
    };
    let parameters = match parameters.rsplit_once(",keyid=") {
        Some((parameters, id)) if bytes_of(id) == Some(6) => parameters,
        Some(_) => return false,
        None => parameters,
    };
    let numbers: Vec<Option<u32>> = parameters
        .split(',')
        .zip(["m=", "t=", "p="])
        .map(|(parameter, name)| {
            let number: u32 = parameter.strip_prefix(name)?.parse().ok()?;
            (parameter == format!("{name}{number}")).then_some(number)
        })
        .collect();
    let [Some(memory), Some(passes), Some(lanes)] = numbers[..] else {
        return false;
    };
    parameters.matches(',').count() == 2
        && (8..=262_144).contains(&memory)
        && (1..=16).contains(&passes)
        && (1..=4).contains(&lanes)
        && memory >= 8 * lanes
        && bytes_of(salt).is_some_and(|bytes| (8..=64).contains(&bytes))
        && bytes_of(hash).is_some_and(|bytes| (16..=64).contains(&bytes))
}

/// How many bytes base64 without padding stands for; none where it is not canonical.
fn bytes_of(text: &str) -> Option<usize> {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let values: Option<Vec<usize>> = text.chars().map(|c| alphabet.find(c)).collect();
    let values = values?;
    let bits = values.len() * 6;
    let unused = bits % 8;
    let last = values.last().copied().unwrap_or(0);
    (unused < 6 && last & ((1 << unused) - 1) == 0).then_some(bits / 8)
}

fn can_be_one(bytes: &[u8]) -> Option<Passphrase> {
    let text = std::str::from_utf8(bytes).ok();
    let is_one = (8..=1024).contains(&bytes.len())
        && text.is_some_and(|text| !text.chars().any(char::is_control));
    let read = Passphrase::parse(bytes).ok();
    assert_eq!(
        read.as_ref().map(Passphrase::as_str),
        text.filter(|_| is_one)
    );
    read
}

/// Rules of all kinds: a byte says which.
fn rules_of(byte: u8) -> Config {
    let classes: Vec<String> = ["upper", "lower", "digit", "other"]
        .iter()
        .enumerate()
        .filter(|(place, _)| byte >> place & 1 == 1)
        .map(|(_, class)| format!("{class:?}"))
        .collect();
    let (score, length) = (byte >> 4 & 3, if byte >> 6 & 1 == 1 { 8 } else { 16 });
    let text = format!(
        "version = 1\n[passphrase]\nmin_length = {length}\nmin_score = {score}\nclasses = [{}]\n",
        classes.join(", ")
    );
    Config::parse(text.as_bytes()).unwrap()
}

fn judged(rules: u8, candidate: &[u8], user: &str, words: &[u8]) {
    let Some(candidate) = can_be_one(candidate) else {
        return;
    };
    let names = [user, "bastion-1"];
    let question = Question {
        candidate: &candidate,
        names,
    };
    let question = question.to_text();
    let is_fit = |rules: u8, words: &[u8]| {
        answers(&probe::judge(&rules_of(rules), words, question.as_bytes()))
    };
    let text = candidate.as_str();
    let passes = is_fit(rules, words);
    if passes {
        let length = text.chars().count();
        assert!(length >= if rules >> 6 & 1 == 1 { 8 } else { 16 });
        // What is good enough for strict rules is so for easy ones.
        assert!(is_fit(1 << 6, words));
    }
    // Behind whatever the list says before; a blank at the end of a line is no part of a word.
    if text.trim() == text {
        let listed = [words, b"\n", text.as_bytes(), b"\n"].concat();
        assert!(!is_fit(1 << 6, &listed), "listed, and taken");
    }
}

/// One line of printable ASCII, which says the same as the exit code; whether a passphrase is taken.
fn answers((line, code): &(String, u8)) -> bool {
    let text = line.strip_suffix('\n').unwrap();
    assert!(text.len() < 300, "{text}");
    assert!(
        text.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
        "{text}"
    );
    let report = Report::parse(line).unwrap();
    assert_eq!(report.is_accepted, *code == 0, "{text}");
    assert!(
        report.is_accepted || ["unfit", "document"].contains(&report.reason.as_str()),
        "{text}"
    );
    report.is_accepted
}
