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

mod answer;
mod audit;
mod block;
mod configuration;
pub mod folder;
pub mod host;
mod input;
mod machine_id;
mod names;
mod place;
mod record;
mod sealed;
mod state;
mod template;

pub use answer::answer;
pub use audit::audit;
pub use block::block;
pub use configuration::configuration;
pub use machine_id::machine_id;
pub use names::names;
pub use record::record;
pub use sealed::sealed;
pub use state::state;
pub use template::template;

/// What one input is tried on.
pub type Property = fn(&[u8]);

/// All of them, by the names of their corpora.
pub const ALL: &[(&str, Property)] = &[
    ("answer", answer),
    ("audit", audit),
    ("block", block),
    ("configuration", configuration),
    ("machine_id", machine_id),
    ("names", names),
    ("record", record),
    ("sealed", sealed),
    ("state", state),
    ("template", template),
];
