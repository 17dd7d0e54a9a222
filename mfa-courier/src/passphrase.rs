//! `mfa-courier passphrase`: says whether a new passphrase is good enough. Here, and not in the module or in `mfa-admin`,
//! because how hard one is to guess takes dictionaries of hundreds of kilobytes and regular expressions, and neither
//! has a place in a host program that runs as root: this process has no privileges, and ends after one answer.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use mfa_core::config::Config;
use mfa_core::host::load_config;
use mfa_core::passphrase::policy::{self, Findings, Refusal};
use mfa_core::passphrase::{PATIENCE, Passphrase};
use mfa_core::secure_file::{Owner, Privacy, folder_of};
use zeroize::Zeroizing;

use crate::report::{Class, Failure, Report};
use crate::shed;

/// Bytes of a question: a passphrase, and two names.
const MAX_QUESTION: u64 = 4096;
/// Bytes of a list of refused words: what can be looked through while somebody waits.
const MAX_WORDS: u64 = 64 * 1024 * 1024;

/// Judges the passphrase on standard input; gives the exit code.
pub(crate) fn run(config: &Path) -> u8 {
    let report = answer(prepare(config).and_then(|(config, words)| {
        let question = read(&mut std::io::stdin().lock())?;
        judge(&config, words, &question)
    }));
    let mut line = std::io::stdout();
    // Who asked is gone where this fails, and takes nothing without an answer.
    let _ = line
        .write_all(report.line().as_bytes())
        .and_then(|()| line.flush());
    report.exit_code()
}

/// The same for a question and a list that are at hand.
pub(crate) fn run_on(config: &Config, words: impl Read, mut question: &[u8]) -> Report {
    answer(read(&mut question).and_then(|question| judge(config, Some(words), &question)))
}

fn answer(judged: Result<Vec<Refusal>, Failure>) -> Report {
    match judged {
        Ok(refusals) if refusals.is_empty() => Report {
            channel: None,
            result: Ok("fit".to_owned()),
        },
        Ok(refusals) => Report::failure(
            None,
            Failure::refused(Class::Unfit, policy::in_a_line(&refusals)),
        ),
        Err(failure) => Report::failure(None, failure),
    }
}

/// Reads the configuration, opens the list of refused words, and gives everything up, before anything is read from
/// whoever started this.
fn prepare(path: &Path) -> Result<(Config, Option<File>), Failure> {
    shed::set_alarm(PATIENCE);
    let config = load_config(path, Owner::ROOT)
        .map_err(|error| Failure::config(Class::ConfigUnusable, error.to_string()))?;
    let words = config.passphrase.refused.path().map(open).transpose()?;
    let user = shed::courier_user(config.courier.user.as_str())?;
    shed::leave_session()?;
    shed::become_user(&user)?;
    shed::gain_no_privileges()?;
    Ok((config, words))
}

fn open(path: &Path) -> Result<File, Failure> {
    let wrong = |why: String| Failure::config(Class::Words, why);
    let (folder, name) = folder_of(path, Owner::ROOT).map_err(|error| wrong(error.to_string()))?;
    let file = folder
        .open_to_read(&name, Privacy::Public)
        .map_err(|error| wrong(error.to_string()))?;
    let length = file.metadata().map_or(u64::MAX, |about| about.len());
    if length > MAX_WORDS {
        let path = path.display();
        return Err(wrong(format!("{path}: is larger than 64 MiB; shorten it")));
    }
    Ok(file)
}

/// A passphrase, and the names that may not be in it.
struct Question {
    candidate: Passphrase,
    names: Vec<String>,
}

/// Lines: the passphrase, then names.
fn read(input: &mut dyn Read) -> Result<Question, Failure> {
    let wrong = |what: String| Failure::refused(Class::Document, what);
    let length = usize::try_from(MAX_QUESTION).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(length + 1));
    input
        .take(MAX_QUESTION + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| wrong(format!("it can't be read: {error}")))?;
    if bytes.len() > length {
        return Err(wrong("it is longer than 4 KiB".to_owned()));
    }
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let candidate = lines.next().unwrap_or_default();
    let candidate = Passphrase::parse(candidate)
        .map_err(|none| Failure::refused(Class::Unfit, none.to_string()))?;
    let names = lines.map(|line| String::from_utf8_lossy(line).into_owned());
    Ok(Question {
        candidate,
        names: names.filter(|name| !name.is_empty()).collect(),
    })
}

fn judge(
    config: &Config,
    words: Option<impl Read>,
    question: &Question,
) -> Result<Vec<Refusal>, Failure> {
    let rules = &config.passphrase;
    let names: Vec<&str> = question.names.iter().map(String::as_str).collect();
    let mut findings = Findings::default();
    if let Some(words) = words {
        findings.is_refused_word = is_listed(&question.candidate, words)?;
    }
    if rules.min_score.get() > 0 {
        let estimate = zxcvbn::zxcvbn(question.candidate.as_str(), &names);
        findings.score = u8::from(estimate.score());
        findings.advice = estimate.feedback().map_or(String::new(), advice);
    }
    Ok(policy::refusals(
        rules,
        &names,
        &question.candidate,
        &findings,
    ))
}

/// Whether a candidate is one of the words of a list, one a line.
fn is_listed(candidate: &Passphrase, words: impl Read) -> Result<bool, Failure> {
    let mut lines = BufReader::new(words.take(MAX_WORDS));
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = lines.read_until(b'\n', &mut line).map_err(|error| {
            Failure::config(Class::Words, format!("the list can't be read: {error}"))
        })?;
        if length == 0 {
            return Ok(false);
        }
        if policy::is_word(candidate, String::from_utf8_lossy(&line).trim()) {
            return Ok(true);
        }
    }
}

/// What zxcvbn says: what is wrong, then what helps.
fn advice(feedback: &zxcvbn::feedback::Feedback) -> String {
    let warning = feedback.warning().map(|warning| warning.to_string());
    let helps = feedback.suggestions().iter().map(ToString::to_string);
    let sentences: Vec<String> = warning.into_iter().chain(helps).take(2).collect();
    sentences.join(" ").trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(rules: &str, candidate: &str, words: &str) -> Vec<Refusal> {
        let text = format!("version = 1\n[passphrase]\n{rules}");
        let config = Config::parse(text.as_bytes()).unwrap();
        let question = read(&mut format!("{candidate}\nalice\nbastion-1\n").as_bytes()).unwrap();
        let mut findings = judge(&config, None::<File>, &question).unwrap();
        if is_listed(&question.candidate, words.as_bytes()).unwrap() {
            findings.push(Refusal::RefusedWord);
        }
        findings
    }

    fn is_weak(refusals: &[Refusal]) -> bool {
        refusals.iter().any(|r| matches!(r, Refusal::TooWeak(_)))
    }

    #[test]
    fn what_is_easy_to_guess_is_refused_with_what_helps() {
        for weak in [
            "passwordpassword",
            "qwertzuiopasdf",
            "aaaaaaaaaaaaaaaa",
            "alicealicealice",
        ] {
            let refusals = judged("", weak, "");
            assert!(is_weak(&refusals), "{weak}: {refusals:?}");
            let line = refusals.last().unwrap().to_string();
            assert!(line.contains("easy to guess: "), "{line}");
            assert!(!line.contains(weak) && !line.ends_with('.'), "{line}");
        }
        assert_eq!(judged("", "gravel ocelot sings thrice", ""), []);
        // Only what was asked for.
        assert!(!is_weak(&judged("min_score = 0", "passwordpassword", "")));
        assert!(is_weak(&judged("min_score = 4", "horse battery", "")));
    }

    #[test]
    fn a_list_of_words_is_looked_through_to_its_end() {
        let list = "\nhunter\r\n\u{fffd}\nGravel Ocelot\nlast one here";
        let refused = [Refusal::RefusedWord];
        let rules = "min_score = 0\nmin_length = 8";
        assert_eq!(judged(rules, "**Hunter**", list), refused);
        assert_eq!(judged(rules, "gravel ocelot", list), refused);
        assert_eq!(judged(rules, "LAST ONE HERE", list), refused);
        assert_eq!(judged(rules, "last one there", list), []);
        let odd = [&b"\xff\xfe\n"[..], b"hunter22hunter\n"].concat();
        let candidate = Passphrase::parse(b"hunter22hunter").unwrap();
        assert!(is_listed(&candidate, odd.as_slice()).unwrap());
    }

    #[test]
    fn what_is_no_question_is_refused() {
        for (bytes, class) in [
            (&b""[..], Class::Unfit),
            (b"short\nalice\nhost\n", Class::Unfit),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\n", Class::Unfit),
            (&vec![b'x'; 5000], Class::Document),
        ] {
            let failure = read(&mut &*bytes).err().unwrap();
            assert_eq!(failure.class, class);
        }
    }

    #[test]
    fn the_word_of_a_refusal_is_the_one_that_is_understood() {
        assert_eq!(Class::Unfit.word(), mfa_core::passphrase::UNFIT);
        let refusals = judged("classes = [\"digit\"]", "Alice-Alice", "");
        let failure = Failure::refused(Class::Unfit, policy::in_a_line(&refusals));
        let line = Report::failure(None, failure).line();
        let report = mfa_core::courier::Report::parse(&line).unwrap();
        assert_eq!(
            (report.is_accepted, report.reason.as_str()),
            (false, "unfit")
        );
    }
}
