//! Accepted, wrong and unknown: the controls, ours and Debian's peers, ten users each.

use crate::kind::{Kind, find};
use crate::logins::BLOCK;
use crate::ours;
use crate::peers;
use crate::plot::{Bars, Colour};
use crate::populations::Population;
use crate::report::{Plot, Report, Target, Verdict, number};
use crate::site::Site;
use crate::statistics::{Quartiles, median, quartiles_of, ratio};
use crate::table::Table;

/// Users whom NSS knows, and nobody else. Their names stand among those of the people in /etc/passwd.
pub(crate) fn strangers() -> Vec<String> {
    (0..10).map(|number| format!("s{number:06}")).collect()
}

/// What a module that asks, keeps its state and logs costs at least.
pub(crate) const CONTROL: &str = "control";
/// The login that this is all about.
pub(crate) const OURS: &str = "pam_mfa, accepted";

/// Everybody's logins; what they need is put on the disk.
pub(crate) fn kinds(site: &Site, ten: &Population) -> Vec<Kind> {
    let people = &site.people;
    peers::prepare_google(site, "10", people, people.len());
    peers::prepare_oath(site, "10", people, people.len());
    let strangers = strangers();
    for name in &strangers {
        ours::find_decoy(site, &ten.host, name);
    }
    let mut kinds = site.controls();
    kinds.extend([
        ten.logins(OURS),
        ten.logins("pam_mfa, wrong").wrong(),
        ours::strangers("pam_mfa, unknown", &ten.service(), &ten.host, &strangers),
        peers::google(site, "google, accepted", "10", people),
        peers::google(site, "google, wrong", "10", people).wrong(),
        Kind::new("google, unknown", "google-10", &strangers).wrong(),
        peers::oath(site, "oath, accepted", "10", people),
        peers::oath(site, "oath, wrong", "10", people).wrong(),
        Kind::new("oath, unknown", "oath-10", &strangers).wrong(),
    ]);
    kinds
}

/// What a kind's whole logins are to the sum of others'.
fn over(kind: &Kind, others: &[&Kind]) -> Quartiles {
    let others: Vec<_> = others.iter().map(|other| &*other.login).collect();
    ratio(&kind.login, &others, BLOCK)
}

/// The table and its drawing; `kinds` are those of above.
pub(crate) fn report(kinds: &[Kind], report: &mut Report) {
    let (floor, prompt) = (find(kinds, "floor"), find(kinds, "promptok"));
    let control = find(kinds, CONTROL);
    let mut table = Table::new(&[
        "",
        "whole login",
        "quartiles",
        "÷ sum",
        "÷ control",
        "pam_authenticate",
        "on a CPU",
    ]);
    for kind in kinds {
        let time = quartiles_of(&kind.login);
        table.row(vec![
            kind.name.clone(),
            number(time.median),
            format!("{}–{}", number(time.low), number(time.high)),
            number(over(kind, &[prompt, floor]).median),
            number(over(kind, &[control]).median),
            number(median(&kind.authenticate)),
            number(median(&kind.cpu)),
        ]);
    }
    let about = format!(
        "Ten users, {} logins of each kind in one process that lives on; a whole login is pam_start to pam_end. floor: 2048 \
         bytes in place and fdatasync. promptok: a module that asks one question and accepts; sum: both. control: promptok \
         that also writes a line to the log and 2048 bytes with fdatasync, which is what any module that keeps its state comes to.",
        find(kinds, OURS).login.len()
    );
    report.section("Side by side", &about, table, Some(plot(kinds)));
}

/// How quiet the machine was: where others use the disk, no time is to be believed.
pub(crate) fn warning(kinds: &[Kind]) -> Option<String> {
    let floor = quartiles_of(&find(kinds, "floor").login);
    let spread = floor.high / floor.low;
    (spread > 1.5).then(|| {
        format!(
            "The disk was busy with other things: one write with fdatasync took from {} to {} µs (quartiles). What was timed \
             is not to be trusted; what was counted is.",
            number(floor.low),
            number(floor.high)
        )
    })
}

/// The rows about accepted and wrong codes; `costs` says what of a login costs instructions and system calls.
pub(crate) fn targets(kinds: &[Kind], costs: &str, report: &mut Report) {
    let of = |what: &str| {
        ["google", "oath", "pam_mfa"].map(|who| find(kinds, &format!("{who}, {what}")))
    };
    let [google, oath, ours] = of("accepted");
    let (floor, prompt) = (find(kinds, "floor"), find(kinds, "promptok"));
    let control = find(kinds, CONTROL);
    let slowest = over(ours, &[google]).median.max(over(ours, &[oath]).median);
    report.target(Target {
        what: "accepted, µs".to_owned(),
        google: number(median(&google.login)),
        oath: number(median(&oath.login)),
        ours: number(median(&ours.login)),
        aim: "< both".to_owned(),
        verdict: Verdict::of(slowest < 1.0),
    });
    let [google, oath, ours] = of("accepted").map(|kind| over(kind, &[prompt, floor]).median);
    let what = "accepted ÷ (promptok + floor)";
    for (what, most) in [(what.to_owned(), 1.6), (format!("{what}, later"), 1.3)] {
        report.target(Target::at_most(&what, [google, oath], ours, most, ""));
    }
    let accepted = find(kinds, OURS);
    report.reason(|| {
        format!(
            "a login that only asks, logs and writes one slot (control) is {} × (promptok + floor) already, since waiting for \
             the disk leaves cold caches behind; ours is {} × that control. Of its {} µs in pam_authenticate it is on a CPU \
             for {}, the control for {}: {costs}.",
            number(over(control, &[prompt, floor]).median),
            number(over(accepted, &[control]).median),
            number(median(&accepted.authenticate)),
            number(median(&accepted.cpu)),
            number(median(&control.cpu)),
        )
    });
    let [google, oath, ours] = of("wrong").map(|wrong| {
        let (who, _) = wrong.name.split_once(',').unwrap();
        over(wrong, &[find(kinds, &format!("{who}, accepted"))]).median
    });
    report.target(Target {
        what: "wrong ÷ accepted".to_owned(),
        google: number(google),
        oath: number(oath),
        ours: number(ours),
        aim: "0.9 to 1.1".to_owned(),
        verdict: Verdict::of((0.9..=1.1).contains(&ours)),
    });
}

fn plot(kinds: &[Kind]) -> Plot {
    let time = |name: &str| median(&find(kinds, name).login);
    let both = |who: &str| {
        (
            time(&format!("{who}, accepted")),
            Some(time(&format!("{who}, wrong"))),
        )
    };
    let (google, oath, ours) = (both("google"), both("oath"), both("pam_mfa"));
    let bars = Bars {
        title: "One login, ten users",
        below: "Median of a whole login through libpam, in µs; /dev/log read by a process that drops it",
        kinds: ["right code", "wrong code"],
        groups: vec![
            ("a prompt (promptok)", Colour::Floor, time("promptok"), None),
            ("a write (floor)", Colour::Floor, time("floor"), None),
            ("prompt, line, write", Colour::Control, time(CONTROL), None),
            ("pam_mfa", Colour::Ours, ours.0, ours.1),
            (
                "pam_google_authenticator",
                Colour::Google,
                google.0,
                google.1,
            ),
            ("pam_oath", Colour::Oath, oath.0, oath.1),
        ],
    };
    Plot {
        file: "bench-logins.svg",
        alt: "Bars: how long one login takes with a right and with a wrong code".to_owned(),
        svg: bars.svg(),
    }
}
