//! What must hold whatever bytes come from outside. Each property takes the bytes of one input and panics where it does not
//! hold. libFuzzer calls them with bytes of its own making (`tests/fuzz/fuzz_targets`), `make test` with those that it has
//! found before (`tests/fuzz/corpus`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a property that does not hold is to be seen at once"
)]

mod admin;
mod answer;
mod audit;
mod block;
mod configuration;
mod document;
pub mod folder;
pub mod host;
mod input;
mod machine_id;
mod names;
mod passphrase;
mod place;
mod record;
mod sealed;
mod server;
mod smtp;
mod state;
mod telegram;
mod template;

pub use admin::admin;
pub use answer::answer;
pub use audit::audit;
pub use block::block;
pub use configuration::configuration;
pub use document::document;
pub use machine_id::machine_id;
pub use names::names;
pub use passphrase::passphrase;
pub use record::record;
pub use sealed::sealed;
pub use smtp::smtp;
pub use state::state;
pub use telegram::telegram;
pub use template::template;

/// What one input is tried on.
pub type Property = fn(&[u8]);

/// All of them, by the names of their corpora.
pub const ALL: [(&str, Property); 15] = [
    ("admin", admin),
    ("answer", answer),
    ("audit", audit),
    ("block", block),
    ("configuration", configuration),
    ("document", document),
    ("machine_id", machine_id),
    ("names", names),
    ("passphrase", passphrase),
    ("record", record),
    ("sealed", sealed),
    ("smtp", smtp),
    ("state", state),
    ("telegram", telegram),
    ("template", template),
];
