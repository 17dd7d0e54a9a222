//! How the module is linked.

use std::path::PathBuf;
use std::{env, fs};

fn main() -> std::io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    // Never unloaded: hosts that open the module for each login would pay for it anew each time, and
    // thread-local data of a library that is gone is a crash. All relocations are done at once and then
    // read-only.
    for argument in ["nodelete", "relro", "now"] {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,{argument}");
    }
    // rustc links the unwinder as libgcc_s.so. Most hosts have not loaded that, and loading it takes twice as
    // long as loading this module (222 against 68 µs): a linker script of the same name, found first, takes
    // gcc's static one instead.
    let folder = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(folder.join("libgcc_s.so"), "INPUT(-lgcc_eh -lgcc)\n")?;
    println!("cargo:rustc-link-search=native={}", folder.display());
    Ok(())
}
