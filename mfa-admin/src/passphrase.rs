//! `passphrase`: what the argument `passphrase` of the module asks for before the code.

use mfa_core::audit::{Entry, Event};
use mfa_core::config::Config;
use mfa_core::courier::Process;
use mfa_core::host;
use mfa_core::passphrase::{Cost, Hasher, Judge, LENGTHS, Opinion, Passphrase, PassphraseError};
use mfa_core::passphrase::{Pepper, Question, policy};
use mfa_core::record::{KeptPassphrase, UserRecord};
use mfa_core::request::UserName;
use mfa_core::secure_file::Owner;
use serde_json::{Value, json};

use crate::ask;
use crate::cli::{NameArgs, PassphraseCommand};
use crate::context::{Context, House};
use crate::error::Failure;
use crate::notice::{self, Change};
use crate::output::{Reply, shown, wrap};
use crate::record_view::{self, moment};

/// Runs a verb.
pub(crate) fn run(context: &Context<'_>, command: &PassphraseCommand) -> Result<Reply, Failure> {
    match command {
        PassphraseCommand::Set { name, .. } => set(context, name),
        PassphraseCommand::Status(NameArgs { name }) => status(context, name),
        PassphraseCommand::Remove { name, yes } => remove(context, name, *yes),
    }
}

fn set(context: &Context<'_>, name: &str) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(name)?.user;
    // Before anybody types anything.
    house.record(&user)?;
    let pepper = Pepper::of(&house.key()?, user.as_str());
    let passphrase = typed(&user, &house.config)?;
    judge(context, &house, &user, &passphrase)?;
    let cost = Cost::from(&house.config.passphrase);
    let hash = Hasher::new(pepper)
        .keep(&passphrase, cost)
        .map_err(|error| match error {
            PassphraseError::NoRandomness => Failure::no_randomness(),
            PassphraseError::NoMemory => Failure::failed(
                error.to_string(),
                "see the limits of this shell (ulimit -v), and [passphrase] memory",
            ),
        })?;
    let kept = KeptPassphrase::new(hash, context.unix_seconds());
    let (record, _) = house.change(&user, |record| {
        record.passphrase = Some(kept.clone());
        Ok(())
    })?;
    let event = Event::PassphraseSet;
    context.log_change(event, Some(&user), &Entry::default());
    notice::tell(context, &house.config, &[&record], Change::of(event));
    let name = shown(user.as_str());
    Ok(Reply::done(
        document(&user, &record, &house.config),
        format!("The passphrase of {name} is set."),
    ))
}

/// The new passphrase: from a terminal twice, else from standard input.
fn typed(user: &UserName, config: &Config) -> Result<Passphrase, Failure> {
    let name = shown(user.as_str());
    let max = *LENGTHS.end();
    let none = || {
        Failure::failed(
            "no passphrase came",
            "type one, or give it on standard input",
        )
    };
    let first = ask::secret(&format!("New passphrase for {name}: "), max)?.ok_or_else(none)?;
    if ask::is_somebody_there() {
        let again = ask::secret("Again: ", max)?.ok_or_else(none)?;
        if *again != *first {
            return Err(Failure::refused(
                "the two are not the same; nothing was changed",
                "type the same passphrase twice",
            ));
        }
    }
    Passphrase::parse(first.as_bytes())
        .map_err(|none| not_taken(&policy::unusable(none, &config.passphrase)))
}

fn not_taken(why: &str) -> Failure {
    Failure::refused(
        format!("this passphrase is not taken: {why}"),
        "[passphrase] in mfa.toml says what is asked for",
    )
}

/// Has the courier say whether it is good enough, by the same rules as when people change theirs.
fn judge(
    context: &Context<'_>,
    house: &House,
    user: &UserName,
    passphrase: &Passphrase,
) -> Result<(), Failure> {
    let host = host::name();
    let question = Question {
        candidate: passphrase,
        names: [user.as_str(), &host],
    };
    let mut courier = Process::new(&house.config, &context.config_path, Owner::ROOT);
    match courier.judge(&question) {
        Opinion::Fit => Ok(()),
        Opinion::Unfit(why) => Err(not_taken(&why)),
        Opinion::None(why) => Err(Failure::failed(
            format!("nobody says whether this passphrase is good enough: {why}"),
            "mfa-courier judges it, as its own user; `mfa-admin doctor` says what it lacks",
        )),
    }
}

fn status(context: &Context<'_>, name: &str) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(name)?.user;
    let record = house.record(&user)?;
    let text = match &record.passphrase {
        Some(kept) => line(kept, &house.config),
        None => return Err(has_none(&user)),
    };
    let text = wrap("", "", &format!("{}: {text}", shown(user.as_str())));
    let document = document(&user, &record, &house.config);
    Ok(Reply::answer(document, text))
}

fn remove(context: &Context<'_>, name: &str, is_agreed: bool) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(name)?.user;
    if house.record(&user)?.passphrase.is_none() {
        return Err(has_none(&user));
    }
    let name = shown(user.as_str());
    ask::confirm(
        &format!("Remove the passphrase of {name}? Services that ask for one refuse {name} then."),
        is_agreed,
    )?;
    let (record, is_changed) = house.change(&user, |record| {
        record.passphrase = None;
        Ok(())
    })?;
    if !is_changed {
        return Err(has_none(&user));
    }
    let event = Event::PassphraseRemoved;
    context.log_change(event, Some(&user), &Entry::default());
    notice::tell(context, &house.config, &[&record], Change::of(event));
    let document = json!({ "user": user.as_str(), "removed": true });
    Ok(Reply::done(
        document,
        format!("{name} has no passphrase any more."),
    ))
}

fn has_none(user: &UserName) -> Failure {
    let name = shown(user.as_str());
    Failure::not_found(
        format!("{name} has no passphrase"),
        format!("`mfa-admin passphrase set {name}` sets one"),
    )
}

fn document(user: &UserName, record: &UserRecord, config: &Config) -> Value {
    let mut document = record_view::passphrase(record);
    if let Some(keys) = document.as_object_mut() {
        let wanted = Cost::from(&config.passphrase);
        let kept = record.passphrase.as_ref();
        let is_old = kept.is_some_and(|kept| kept.hash.more(wanted).is_some());
        keys.insert("hashed_anew_at_login".to_owned(), json!(is_old));
        keys.insert("user".to_owned(), json!(user.as_str()));
    }
    document
}

/// What is to be said of a passphrase, for people.
pub(crate) fn line(kept: &KeptPassphrase, config: &Config) -> String {
    let changed = kept.changed.as_ref().map_or(String::new(), |at| {
        format!(", since {}", moment(&at.to_string()))
    });
    let Cost {
        memory,
        passes,
        lanes,
    } = kept.hash.cost();
    let anew = if kept.hash.more(Cost::from(&config.passphrase)).is_some() {
        "; hashed anew at the next login with it"
    } else {
        ""
    };
    format!("set{changed} (argon2id, {memory} KiB, passes {passes}, lanes {lanes}{anew})")
}
