//! `app`: authenticator apps.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use mfa_core::audit::{Entry, Event};
use mfa_core::clock::rfc3339;
use mfa_core::config::Config;
use mfa_core::otp::{Authenticator, MAX_SECRET_LEN, MIN_SECRET_LEN, SECRET_LEN, TypedAnswer};
use mfa_core::record::{App, AppId, MAX_APPS, Method, UserRecord, datetime};
use mfa_core::request::UserName;
use mfa_core::store::{Store, Subject};
use serde_json::json;
use zeroize::Zeroizing;

use crate::ask;
use crate::base32;
use crate::cli::{AppCommand, EnrollArgs, NameArgs, PictureArgs, QrForm};
use crate::context::{Context, House, no_such_user};
use crate::error::Failure;
use crate::notice::{self, Change};
use crate::output::{Reply, WIDTH, quoted, shown, table, wrap};
use crate::qr::Qr;
use crate::record_view::{self, moment};
use crate::switch::{self, Kind, find_labelled};

/// How often a code is asked for at a terminal.
const TRIES: u32 = 3;

/// Runs a verb.
pub(crate) fn run(context: &Context<'_>, command: &AppCommand) -> Result<Reply, Failure> {
    match command {
        AppCommand::Enroll(arguments) => enroll(context, arguments),
        AppCommand::List(NameArgs { name }) => list(context, name),
        AppCommand::Reveal {
            name,
            label,
            picture,
        } => reveal(context, name, label, picture),
        AppCommand::Remove { name, label, yes } => remove(context, name, label, *yes),
        AppCommand::Disable { name, label } => switch::run(context, Kind::App, name, label, true),
        AppCommand::Enable { name, label } => switch::run(context, Kind::App, name, label, false),
    }
}

/// Where the code comes from that shows that the app has the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confirmation {
    Terminal,
    StandardInput,
    None,
}

/// The same from the options `--no-confirm` and `--confirm -`; `what` shows the code.
pub(crate) fn confirmation(
    is_unwanted: bool,
    is_given: bool,
    what: &str,
) -> Result<Confirmation, Failure> {
    if is_unwanted {
        Ok(Confirmation::None)
    } else if is_given {
        Ok(Confirmation::StandardInput)
    } else if ask::is_somebody_there() {
        Ok(Confirmation::Terminal)
    } else {
        Err(Failure::refused(
            format!("nobody is at the terminal to type a code from the {what}"),
            "give --confirm - and the code on standard input, or --no-confirm to keep the secret unchecked",
        ))
    }
}

fn enroll(context: &Context<'_>, arguments: &EnrollArgs) -> Result<Reply, Failure> {
    let house = context.open()?;
    let key = house.key()?;
    let user = context.person(&arguments.name)?.user;
    check_room(&house.record(&user)?, arguments)?;
    let confirmation = confirmation(arguments.no_confirm, arguments.confirm.is_some(), "app")?;
    let picture_kind = arguments
        .picture
        .qr_file
        .as_deref()
        .map(PictureKind::of)
        .transpose()?;
    let secret = secret(arguments)?;
    let kind = (arguments.algorithm, &arguments.digits, &arguments.period);
    let id = AppId::of_secret(&key, &user, &secret, kind);
    check_secret(&house.record(&user)?, &id)?;
    let app = App {
        secret: String::new(),
        id,
        label: arguments.label.clone(),
        algorithm: arguments.algorithm,
        digits: arguments.digits.clone(),
        period: arguments.period.clone(),
        enrolled: datetime(context.unix_seconds()),
        disabled: false,
    };
    let shape = Authenticator::of_app(&app, &secret, house.config.app.window.get())
        .map_err(|error| Failure::failed(error.to_string(), "give another secret"))?;
    let enrolment = Enrolment::new(&house.config, &user, &app, &secret);
    let file = picture_kind
        .as_ref()
        .map(|kind| NewPicture::write(kind, &enrolment.uri))
        .transpose()?;
    let text = enrolment.text(&arguments.picture, context)?;
    // In a document the secret stands anyway; it is shown before only where a code is made from it.
    let must_show_first = confirmation != Confirmation::None
        && (confirmation == Confirmation::Terminal || arguments.secret.is_none());
    if !context.output.is_json() || must_show_first {
        context.output.show(&text)?;
    }
    let step = match confirmation {
        Confirmation::None => None,
        Confirmation::StandardInput => Some(code_from_standard_input(context, &shape)?),
        Confirmation::Terminal => Some(code_from_terminal(context, &shape)?),
    };
    keep(context, &house, &user, (&app, &secret), step, arguments)?;
    if let Some(file) = file {
        file.keep();
    }
    let entry = Entry {
        app: Some(app.label.get()),
        reason: step.is_none().then_some("not confirmed"),
        ..Entry::default()
    };
    context.log_change(Event::AppEnrolled, Some(&user), &entry);
    let record = house.record(&user)?;
    let change = Change::of(Event::AppEnrolled).app(app.label.get());
    notice::tell(context, &house.config, &[&record], change);
    if !record.methods.contains(&Method::App) {
        context.output.warn(&format!(
            "the method app does not count for {0}: `mfa-admin user set {0} --methods app`",
            shown(user.as_str())
        ));
    }
    let document = json!({
        "user": user.as_str(),
        "label": app.label.get(),
        "secret": enrolment.secret.as_str(),
        "uri": enrolment.uri.as_str(),
        "confirmed": step.is_some(),
    });
    let (name, label) = (shown(user.as_str()), shown(app.label.get()));
    let text = match step {
        Some(_) => format!("Enrolled {label} for {name}. The next login takes the next code."),
        None => format!("Enrolled {label} for {name}, without a code from the app."),
    };
    Ok(Reply::done(document, text))
}

/// Whether one more app, and this label, has a place in the record.
fn check_room(record: &UserRecord, arguments: &EnrollArgs) -> Result<(), Failure> {
    let name = shown(record.user.as_str());
    let label = shown(arguments.label.get());
    if record.apps.iter().any(|app| app.label == arguments.label) {
        return Err(Failure::refused(
            format!("{name} has an app called {label} already"),
            format!(
                "give another --label, or remove that one first: `mfa-admin app remove {name} {}`",
                quoted(arguments.label.get())
            ),
        ));
    }
    check_count(record)
}

/// Whether there is room for one more app or token.
pub(crate) fn check_count(record: &UserRecord) -> Result<(), Failure> {
    if record.apps.len() + record.tokens.len() < MAX_APPS {
        return Ok(());
    }
    let name = shown(record.user.as_str());
    Err(Failure::refused(
        format!("{name} has {MAX_APPS} apps and tokens, which is as many as there can be"),
        format!("remove one first: `mfa-admin app remove {name} LABEL`, or `token remove`"),
    ))
}

/// Whether the record does not have this secret yet: its codes would not be good for both.
fn check_secret(record: &UserRecord, id: &AppId) -> Result<(), Failure> {
    let Some(app) = record.apps.iter().find(|app| app.id == *id) else {
        return Ok(());
    };
    let name = shown(record.user.as_str());
    let label = shown(app.label.get());
    Err(Failure::refused(
        format!("{name} has this secret already, as {label}"),
        "give each app a secret of its own: leave --secret away, and one is made",
    ))
}

/// The secret: a fresh one, or the first line of standard input.
fn secret(arguments: &EnrollArgs) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if arguments.secret.is_none() {
        let mut secret = Zeroizing::new(vec![0; SECRET_LEN]);
        getrandom::fill(&mut secret).map_err(|_| Failure::no_randomness())?;
        return Ok(secret);
    }
    let text = ask::hidden_line("Secret in base32: ")?.ok_or_else(|| {
        Failure::failed(
            "there is no secret on standard input",
            "give it in base32, as one line",
        )
    })?;
    secret_of(&text)
}

/// The secret that somebody gave.
pub(crate) fn secret_of(line: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let secret = base32::decode(line.trim()).ok_or_else(|| {
        Failure::failed(
            "the secret is not base32",
            "it is made of the letters A to Z and the digits 2 to 7",
        )
    })?;
    check_length(secret)
}

/// The secret, where it is neither too short nor too long.
pub(crate) fn check_length(secret: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if (MIN_SECRET_LEN..=MAX_SECRET_LEN).contains(&secret.len()) {
        return Ok(secret);
    }
    Err(Failure::refused(
        format!("the secret has {} bits", secret.len() * 8),
        format!(
            "RFC 4226 asks for {} bits ({} base32 characters) at least; {} are as many as are kept",
            MIN_SECRET_LEN * 8,
            (MIN_SECRET_LEN * 8).div_ceil(5),
            MAX_SECRET_LEN * 8,
        ),
    ))
}

fn code_from_standard_input(context: &Context<'_>, shape: &Authenticator) -> Result<u64, Failure> {
    let line = ask::line()?.ok_or_else(|| {
        Failure::failed(
            "there is no code on standard input",
            "give the app's code as one line; nothing was kept",
        )
    })?;
    matching_step(context, shape, &line).ok_or_else(|| not_the_code(context))
}

fn code_from_terminal(context: &Context<'_>, shape: &Authenticator) -> Result<u64, Failure> {
    for attempt in 1..=TRIES {
        let line = ask::question("Code that the app shows: ")?.ok_or_else(|| {
            Failure::refused(
                "no code was given; nothing was kept",
                "begin again with `app enroll`",
            )
        })?;
        if let Some(step) = matching_step(context, shape, &line) {
            return Ok(step);
        }
        if attempt < TRIES {
            crate::output::say("That is not the code; wait for the next one and try again.");
        }
    }
    Err(not_the_code(context))
}

fn matching_step(context: &Context<'_>, shape: &Authenticator, line: &str) -> Option<u64> {
    let code = TypedAnswer::new(line.as_bytes().to_vec()).as_code()?;
    shape.matching_step(&code, context.unix_seconds())
}

fn not_the_code(context: &Context<'_>) -> Failure {
    Failure::refused(
        "that is not the code of this secret now; nothing was kept",
        format!(
            "this host's clock says {} UTC: if that is right, see that the phone's clock is, and begin again",
            rfc3339(context.unix_seconds())
                .replace('T', " ")
                .trim_end_matches('Z')
        ),
    )
}

/// Puts the app into the record, the step of its code first: no login is to find the app without it.
fn keep(
    context: &Context<'_>,
    house: &House,
    user: &UserName,
    (app, secret): (&App, &[u8]),
    step: Option<u64>,
    arguments: &EnrollArgs,
) -> Result<(), Failure> {
    if let Some(step) = step {
        house
            .store
            .transaction(Subject::User(user), &mut |record, state| {
                let mut apps = record.map_or(Vec::new(), |record| record.apps.clone());
                apps.push(app.clone());
                state.accept_step(app, step);
                let window = house.config.app.window.get();
                state.forget_removed_apps(&apps, context.unix_seconds(), window);
            })?;
    }
    house.store.change_record(user, |present| {
        let Some(mut record) = present else {
            return Err(no_such_user(user.as_str()));
        };
        check_room(&record, arguments)?;
        check_secret(&record, &app.id)?;
        // Sealed here: the key may have been changed while somebody looked for their phone.
        let purpose = App::seal_purpose(&app.id);
        record.apps.push(App {
            secret: house.key()?.seal(user.as_str(), &purpose, secret)?,
            ..app.clone()
        });
        record.enrolled_once = true;
        Ok((Some(record), ()))
    })
}

/// A secret as apps take it.
pub(crate) struct Enrolment {
    secret: Zeroizing<String>,
    pub(crate) uri: Zeroizing<String>,
}

impl Enrolment {
    pub(crate) fn new(config: &Config, user: &UserName, app: &App, secret: &[u8]) -> Self {
        let issuer = config
            .enrolment
            .issuer
            .as_str()
            .replace("%h", &mfa_core::host::name());
        let secret = base32::encode(secret);
        let issuer = percent_encode(&issuer);
        let uri = Zeroizing::new(format!(
            "otpauth://totp/{issuer}:{}?secret={}&issuer={issuer}&algorithm={}&digits={}&period={}",
            percent_encode(user.as_str()),
            secret.as_str(),
            app.algorithm.as_str(),
            app.digits,
            app.period,
        ));
        Self { secret, uri }
    }

    /// The QR code, where it can be shown, and the lines that say the same.
    fn text(
        &self,
        arguments: &PictureArgs,
        context: &Context<'_>,
    ) -> Result<Zeroizing<String>, Failure> {
        let mut text = Zeroizing::new(String::with_capacity(16 * 1024));
        let form = arguments.qr.unwrap_or_else(default_form);
        if form != QrForm::None {
            let qr = qr(&self.uri)?;
            let colour = io::stdout().is_terminal()
                && std::env::var_os("TERM").is_some_and(|term| term != "dumb");
            let (drawn, columns) = match form {
                QrForm::Ascii => (qr.ascii(colour), qr.columns() * 2),
                QrForm::Utf8 | QrForm::None => (qr.utf8(colour), qr.columns()),
            };
            if columns > WIDTH {
                context.output.warn(&format!(
                    "the QR code is {columns} columns wide: make the window wide enough, or use --qr-file"
                ));
            }
            text.push('\n');
            text.push_str(&drawn);
            text.push('\n');
        }
        // Writing to a String can't fail.
        let _ = writeln!(
            text,
            "Secret: {}\n{}",
            self.secret.as_str(),
            self.uri.as_str()
        );
        Ok(text)
    }
}

fn qr(uri: &str) -> Result<Qr, Failure> {
    Qr::new(uri)
        .map_err(|error| Failure::failed(error.to_string(), "--qr none shows the secret alone"))
}

/// Every byte but the unreserved ones (RFC 3986, 2.3).
fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// What the terminal can show; none where there is no terminal.
fn default_form() -> QrForm {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .filter_map(std::env::var_os)
        .find(|value| !value.is_empty())
        .map(|value| {
            value
                .to_string_lossy()
                .to_ascii_lowercase()
                .replace('-', "")
        });
    if !io::stdout().is_terminal() {
        QrForm::None
    } else if locale.is_some_and(|locale| locale.contains("utf8")) {
        QrForm::Utf8
    } else {
        QrForm::Ascii
    }
}

/// A file for the QR code, by its ending.
struct PictureKind {
    path: PathBuf,
    is_png: bool,
}

impl PictureKind {
    fn of(path: &Path) -> Result<Self, Failure> {
        let ending = path
            .extension()
            .and_then(|ending| ending.to_str())
            .map(str::to_ascii_lowercase);
        let is_png = match ending.as_deref() {
            Some("png") => true,
            Some("svg") => false,
            _ => {
                return Err(Failure::usage(
                    format!(
                        "--qr-file {}: what kind of picture is that?",
                        path.display()
                    ),
                    "end the name in .svg or .png",
                ));
            }
        };
        Ok(Self {
            path: path.to_owned(),
            is_png,
        })
    }
}

/// A picture that was just written, removed again unless its secret is kept.
struct NewPicture(Option<PathBuf>);

impl NewPicture {
    /// Writes a picture to a file of its own, which only root can read.
    fn write(kind: &PictureKind, uri: &str) -> Result<Self, Failure> {
        let fail = |error: io::Error| {
            let hint = if error.kind() == io::ErrorKind::AlreadyExists {
                "name another file, or remove that one: a picture replaces nothing"
            } else {
                "name a file in a folder that can be written"
            };
            Failure::failed(format!("{}: {error}", kind.path.display()), hint)
        };
        let qr = qr(uri)?;
        let bytes = if kind.is_png {
            qr.png()
        } else {
            Zeroizing::new(qr.svg().as_bytes().to_vec())
        };
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&kind.path)
            .map_err(fail)?;
        let made = Self(Some(kind.path.clone()));
        file.write_all(&bytes)
            .and_then(|()| file.sync_all())
            .map_err(fail)?;
        Ok(made)
    }

    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for NewPicture {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // What it shows was not kept, and opens nothing.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn list(context: &Context<'_>, name: &str) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(name)?.user;
    let record = house.record(&user)?;
    let state = match house.store.state(&user) {
        Ok(view) => view.map(|view| view.state).unwrap_or_default(),
        Err(error) => {
            context.output.warn(&Failure::from(error).message);
            mfa_core::state::LoginState::default()
        }
    };
    let document =
        json!({ "user": user.as_str(), "apps": record_view::apps(&record, Some(&state)) });
    let rows: Vec<Vec<String>> = record
        .apps
        .iter()
        .map(|app| {
            let last = record_view::last_used(app, &state);
            let mark = if app.disabled { " (disabled)" } else { "" };
            vec![
                format!("{}{mark}", shown(app.label.get())),
                app.algorithm.as_str().to_owned(),
                app.digits.to_string(),
                app.period.to_string(),
                moment(&app.enrolled.to_string()).replace(" UTC", ""),
                last.map_or("never".to_owned(), |at| moment(&at).replace(" UTC", "")),
            ]
        })
        .collect();
    let name = shown(user.as_str());
    let text = if rows.is_empty() {
        format!("{name} has no app. Next: mfa-admin app enroll {name}")
    } else {
        table(
            &[
                "LABEL",
                "HASH",
                "DIGITS",
                "PERIOD",
                "ENROLLED (UTC)",
                "LAST USED",
            ],
            &rows,
        )
    };
    Ok(Reply::answer(document, text))
}

/// The app of a record that is meant, by its label, or by its id where two have the same.
pub(crate) fn find<'a>(record: &'a UserRecord, text: &str) -> Result<&'a App, Failure> {
    let all = record.apps.iter().map(|app| (&app.label, &app.id, app));
    find_labelled(Kind::App, record, all, text)
}

fn reveal(
    context: &Context<'_>,
    name: &str,
    label: &str,
    picture: &PictureArgs,
) -> Result<Reply, Failure> {
    let house = context.open()?;
    // Before the record: a key that was changed since is found, one that is not kept any more is not.
    let key = house.key()?;
    let user = context.person(name)?.user;
    let record = house.record(&user)?;
    let app = find(&record, label)?;
    let picture_kind = picture
        .qr_file
        .as_deref()
        .map(PictureKind::of)
        .transpose()?;
    let secret = key.open(user.as_str(), &App::seal_purpose(&app.id), &app.secret)?;
    let enrolment = Enrolment::new(&house.config, &user, app, &secret);
    let file = picture_kind
        .as_ref()
        .map(|kind| NewPicture::write(kind, &enrolment.uri))
        .transpose()?;
    let text = if context.output.is_json() {
        Zeroizing::default()
    } else {
        enrolment.text(picture, context)?
    };
    // Said before it is shown: a reader who closes the pipe early has seen it.
    let entry = Entry {
        app: Some(app.label.get()),
        ..Entry::default()
    };
    context.log_change(Event::AppRevealed, Some(&user), &entry);
    let change = Change::of(Event::AppRevealed).app(app.label.get());
    notice::tell(context, &house.config, &[&record], change);
    if let Some(file) = file {
        file.keep();
    }
    let document = json!({
        "user": user.as_str(),
        "label": app.label.get(),
        "secret": enrolment.secret.as_str(),
        "uri": enrolment.uri.as_str(),
    });
    Ok(Reply::answer(document, text.as_str()))
}

fn remove(
    context: &Context<'_>,
    name: &str,
    label: &str,
    is_agreed: bool,
) -> Result<Reply, Failure> {
    let house = context.open()?;
    let user = context.person(name)?.user;
    let record = house.record(&user)?;
    let found = find(&record, label)?;
    let (id, label) = (found.id.clone(), found.label.clone());
    let name = shown(user.as_str());
    ask::confirm(
        &format!("Remove the app {} of {name}?", shown(label.get())),
        is_agreed,
    )?;
    let (record, is_changed) = house.change(&user, |record| {
        record.apps.retain(|app| app.id != id);
        Ok(())
    })?;
    if is_changed {
        let entry = Entry {
            app: Some(label.get()),
            ..Entry::default()
        };
        context.log_change(Event::AppRemoved, Some(&user), &entry);
        let change = Change::of(Event::AppRemoved).app(label.get());
        notice::tell(context, &house.config, &[&record], change);
    }
    if record.apps.is_empty() {
        context
            .output
            .warn(&format!("{name} has no app left and can't log in with one"));
    }
    let document = json!({
        "changed": is_changed,
        "user": user.as_str(),
        "label": label.get(),
        "apps": record_view::apps(&record, None),
    });
    Ok(Reply::done(
        document,
        wrap(
            "",
            "",
            &format!("Removed {} of {name}.", shown(label.get())),
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use mfa_core::record::{Algorithm, Digits, Label, Period};

    fn app(id: &str, label: &str) -> App {
        App {
            id: AppId::parse(id).unwrap(),
            label: Label::parse(label).unwrap(),
            secret: String::new(),
            algorithm: Algorithm::Sha1,
            digits: Digits::parse(6).unwrap(),
            period: Period::parse(30_u16).unwrap(),
            enrolled: datetime(0),
            disabled: false,
        }
    }

    #[test]
    fn the_uri_is_the_one_of_the_manual_and_escapes_what_it_must() {
        let config = b"version = 1\n[enrolment]\nissuer = \"A & B\"";
        let config = Config::parse(config).unwrap();
        let user = UserName::parse("al?ce@x").unwrap();
        let made = Enrolment::new(
            &config,
            &user,
            &app("00000001", "phone"),
            b"12345678901234567890",
        );
        assert_eq!(
            made.uri.as_str(),
            "otpauth://totp/A%20%26%20B:al%3Fce%40x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=A%20%26%20B&algorithm=SHA1&digits=6&period=30"
        );
    }

    #[test]
    fn an_app_is_found_by_its_label_and_by_its_id_where_two_have_the_same() {
        let mut record = UserRecord::new(UserName::parse("alice").unwrap());
        record.apps = vec![
            app("00000001", "phone"),
            app("00000002", "key"),
            app("00000003", "key"),
        ];
        assert_eq!(find(&record, "phone").unwrap().id.get(), "00000001");
        assert_eq!(find(&record, "00000003").unwrap().id.get(), "00000003");
        assert_eq!(find(&record, "key").unwrap_err().kind, Kind::Refused);
        assert_eq!(find(&record, "tablet").unwrap_err().kind, Kind::NotFound);
    }

    #[test]
    fn a_picture_is_known_by_its_ending() {
        assert!(PictureKind::of(Path::new("/x/a.PNG")).unwrap().is_png);
        assert!(!PictureKind::of(Path::new("a.svg")).unwrap().is_png);
        for name in ["a", "a.jpg", ".png"] {
            assert_eq!(
                PictureKind::of(Path::new(name))
                    .err()
                    .map(|failure| failure.kind),
                Some(Kind::Usage)
            );
        }
    }
}
