//! `mfa-courier`: see the library of the same name.

fn main() {
    mfa_courier::main()
}
