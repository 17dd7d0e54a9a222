//! The command as people and scripts use it: the real program, on hosts in folders of their own. Codes are
//! computed by oathtool, not by code of ours. Needs root, oathtool, script (bsdutils) and unshare.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)] // a test may

mod apps;
mod bypass;
mod codes;
mod courier;
mod credentials;
mod delivery;
mod devices;
mod emergency;
mod explaining;
mod host;
mod initialising;
mod interface;
mod notices;
mod passphrases;
mod recovery;
mod seal;
mod states;
mod tokens;
mod users;
