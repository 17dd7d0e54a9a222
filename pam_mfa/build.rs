//! How the module is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Never unloaded: hosts that open the module for each login would pay for it anew each time, and
    // thread-local data of a library that is gone is a crash. All relocations are done at once and then
    // read-only.
    for argument in ["nodelete", "relro", "now"] {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,{argument}");
    }
}
