//! `mfa-courier`: delivers codes and notices, without privileges.

fn main() {}
