//! Whether a new passphrase is good enough: pure, over the configuration, what is known of the user, and what was
//! found out about the candidate. Length counts for more than kinds of characters, which people meet with `Passw0rd!`
//! (NIST SP 800-63B-4, 3.1.1.2); those can be asked for where a rule book does.

use std::fmt;

use super::{NoPassphrase, Passphrase};
use crate::config::{self, CharacterClass};

/// A name shorter than this is in too many words to be looked for.
const MIN_NAME: usize = 4;

/// What was found out about a candidate, which takes long lists to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// It is in the list of refused words, as it stands or with digits and signs around a word.
    pub is_refused_word: bool,
    /// How hard it is to guess: zxcvbn's score, 0 to 4.
    pub score: u8,
    /// What zxcvbn says to it; may be empty.
    pub advice: String,
}

/// Why a candidate is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too few characters; how many it takes.
    TooShort(u32),
    /// No character of a class that is asked for.
    Lacks(CharacterClass),
    /// The name of the user or of the host is in it.
    HoldsName,
    /// It is in the list of refused words.
    RefusedWord,
    /// Too easy to guess; what to do about it.
    TooWeak(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = |class: &CharacterClass| match class {
            CharacterClass::Upper => "no capital letter is in it; add one",
            CharacterClass::Lower => "no small letter is in it; add one",
            CharacterClass::Digit => "no digit is in it; add one",
            CharacterClass::Other => "only letters and digits are in it; add a blank or a sign",
        };
        match self {
            Self::TooShort(length) => {
                write!(f, "it has fewer than {length} characters; add another word")
            }
            Self::Lacks(missing) => f.write_str(class(missing)),
            Self::HoldsName => f.write_str(
                "the name of the user or of this host is in it; take words that have nothing to do with either",
            ),
            Self::RefusedWord => {
                f.write_str("it is in the list of refused words; take several words that don't belong together")
            }
            Self::TooWeak(advice) if advice.is_empty() => f.write_str(
                "it is too easy to guess; take several words that don't belong together",
            ),
            Self::TooWeak(advice) => write!(f, "it is too easy to guess: {advice}"),
        }
    }
}

/// Why something can't be a passphrase, for whoever typed it: the length that is asked for, and not the least there is.
#[must_use]
pub fn unusable(none: NoPassphrase, rules: &config::Passphrase) -> String {
    match none {
        NoPassphrase::TooShort => Refusal::TooShort(rules.min_length.get()).to_string(),
        other => other.to_string(),
    }
}

/// Everything that speaks against a candidate. `names`: the user's and the host's.
#[must_use]
pub fn refusals(
    rules: &config::Passphrase,
    names: &[&str],
    candidate: &Passphrase,
    findings: &Findings,
) -> Vec<Refusal> {
    let text = candidate.as_str();
    let mut refusals = Vec::new();
    let length = rules.min_length.get();
    if text.chars().count() < length as usize {
        refusals.push(Refusal::TooShort(length));
    }
    for class in &rules.classes {
        if !text.chars().any(|c| is_of(*class, c)) && !refusals.contains(&Refusal::Lacks(*class)) {
            refusals.push(Refusal::Lacks(*class));
        }
    }
    let holds = |name: &&str| name.chars().count() >= MIN_NAME && contains(text, name);
    if names.iter().any(holds) {
        refusals.push(Refusal::HoldsName);
    }
    if findings.is_refused_word {
        refusals.push(Refusal::RefusedWord);
    }
    if u32::from(findings.score) < rules.min_score.get() {
        refusals.push(Refusal::TooWeak(findings.advice.clone()));
    }
    refusals
}

fn is_of(class: CharacterClass, c: char) -> bool {
    match class {
        CharacterClass::Upper => c.is_uppercase(),
        CharacterClass::Lower => c.is_lowercase(),
        CharacterClass::Digit => c.is_numeric(),
        CharacterClass::Other => !c.is_alphanumeric(),
    }
}

/// Whether a name is in a text, in capitals or not. Character by character: a copy in small letters would be one more
/// to wipe.
fn contains(text: &str, name: &str) -> bool {
    text.char_indices().any(|(place, _)| {
        let rest = text.get(place..).unwrap_or_default();
        let mut letters = rest.chars().flat_map(char::to_lowercase);
        name.chars()
            .flat_map(char::to_lowercase)
            .all(|letter| letters.next() == Some(letter))
    })
}

/// Whether a candidate is a word, in capitals or not, or one with nothing but digits and signs around it.
#[must_use]
pub fn is_word(candidate: &Passphrase, word: &str) -> bool {
    let is_same = |text: &str| {
        let (text, word) = (text.chars(), word.chars());
        text.flat_map(char::to_lowercase)
            .eq(word.flat_map(char::to_lowercase))
    };
    let text = candidate.as_str();
    !word.is_empty() && (is_same(text) || is_same(text.trim_matches(|c: char| !c.is_alphabetic())))
}

/// Characters of [`in_a_line`]: what a line of answer and a prompt have room for.
const MAX_LINE: usize = 190;

/// As many of them as go into one line, in whole sentences.
#[must_use]
pub fn in_a_line(refusals: &[Refusal]) -> String {
    let mut line = String::new();
    for refusal in refusals.iter().map(ToString::to_string) {
        if line.is_empty() {
            line = refusal;
        } else if line.chars().count() + refusal.chars().count() < MAX_LINE {
            line.push_str(". And ");
            line.push_str(&refusal);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> config::Passphrase {
        let text = format!("version = 1\n[passphrase]\n{text}");
        config::Config::parse(text.as_bytes()).unwrap().passphrase
    }

    fn strong() -> Findings {
        Findings {
            score: 4,
            ..Findings::default()
        }
    }

    fn judged(rules_text: &str, candidate: &str, findings: &Findings) -> Vec<Refusal> {
        let candidate = Passphrase::parse(candidate.as_bytes()).unwrap();
        let names = ["alice", "bastion-1", "pc"];
        refusals(&rules(rules_text), &names, &candidate, findings)
    }

    #[test]
    fn length_counts_in_characters() {
        assert_eq!(judged("", "blåbærgrød 12", &strong()), []);
        assert_eq!(
            judged("", "blåbærgrød1", &strong()),
            [Refusal::TooShort(12)]
        );
        assert_eq!(judged("min_length = 8", "blåbær12", &strong()), []);
    }

    #[test]
    fn who_types_too_little_hears_the_length_that_is_asked_for() {
        let said = |text: &[u8]| {
            let none = Passphrase::parse(text).unwrap_err();
            unusable(none, &rules("min_length = 14"))
        };
        assert!(said(b"short").starts_with("it has fewer than 14 characters; "));
        assert!(said(&[b'x'; 1025]).contains("more than 1024 bytes"));
    }

    #[test]
    fn the_classic_eight_with_upper_lower_and_digit_is_a_setting() {
        let classic = "min_length = 8\nclasses = [\"upper\", \"lower\", \"digit\"]\nmin_score = 0";
        let weak = Findings::default();
        assert_eq!(judged(classic, "Ab345678", &weak), []);
        for (candidate, missing) in [
            ("ab345678", CharacterClass::Upper),
            ("AB345678", CharacterClass::Lower),
            ("Abcdefgh", CharacterClass::Digit),
        ] {
            assert_eq!(
                judged(classic, candidate, &weak),
                [Refusal::Lacks(missing)],
                "{candidate}"
            );
        }
        let other = "min_length = 8\nclasses = [\"other\", \"other\"]";
        assert_eq!(
            judged(other, "abcdefgh1", &strong()),
            [Refusal::Lacks(CharacterClass::Other)]
        );
        assert_eq!(judged(other, "abcd efgh", &strong()), []);
    }

    #[test]
    fn names_are_refused_in_any_case_and_short_ones_are_not_looked_for() {
        for candidate in ["xxALICExx sits", "my BASTION-1 is here"] {
            assert_eq!(judged("", candidate, &strong()), [Refusal::HoldsName]);
        }
        assert_eq!(judged("", "a pc in the meadow", &strong()), []);
    }

    #[test]
    fn scores_below_the_wanted_one_are_refused_with_what_helps() {
        let findings = |score| Findings {
            score,
            advice: "Add another word.".to_owned(),
            ..Findings::default()
        };
        let candidate = "correct horse battery";
        let weak = Refusal::TooWeak("Add another word.".to_owned());
        assert_eq!(judged("", candidate, &findings(2)), [weak]);
        assert_eq!(judged("", candidate, &findings(3)), []);
        assert_eq!(judged("min_score = 0", candidate, &findings(0)), []);
    }

    #[test]
    fn everything_that_speaks_against_it_is_said_with_what_to_do() {
        let findings = Findings {
            is_refused_word: true,
            ..Findings::default()
        };
        let all = judged("classes = [\"digit\"]", "Alice-Alice", &findings);
        assert_eq!(all.len(), 5);
        for refusal in &all {
            let text = refusal.to_string();
            assert!(text.contains("; "), "{text}");
            assert!(!text.contains("Alice"), "{text}");
        }
        let line = in_a_line(&all);
        assert!(line.contains("; add another word. And no digit"), "{line}");
        assert!(line.chars().count() <= MAX_LINE && !line.ends_with("And "));
    }

    #[test]
    fn a_refused_word_is_one_with_decorations_too() {
        let is = |candidate: &str, word| {
            is_word(&Passphrase::parse(candidate.as_bytes()).unwrap(), word)
        };
        assert!(is("Password", "password"));
        assert!(is("**PASSWORD 123!", "password"));
        assert!(is("12345678", "12345678"));
        assert!(is("ÄPFELCHEN1", "äpfelchen"));
        assert!(!is("my password", "password"));
        assert!(!is("12345678", ""));
        assert!(!is("12345678", "1234567"));
    }
}
