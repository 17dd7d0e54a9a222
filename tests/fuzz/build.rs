//! The harness around the module, and what libpam loads in the module's place.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    for name in [
        "harness.c",
        "call.c",
        "person.c",
        "libc.c",
        "courier.c",
        "totp.c",
        "shim.c",
        "harness.h",
    ] {
        println!("cargo:rerun-if-changed=module/{name}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap());
    cc::Build::new()
        .files(
            [
                "harness.c",
                "call.c",
                "person.c",
                "libc.c",
                "courier.c",
                "totp.c",
            ]
            .map(|name| format!("module/{name}")),
        )
        .define("MODULE_IS_LINKED", None)
        .std("gnu17")
        .opt_level(1)
        .warnings_into_errors(true)
        .cargo_metadata(false)
        .compile("harness");
    println!("cargo:rustc-link-arg-bin=module=-Wl,--whole-archive");
    println!(
        "cargo:rustc-link-arg-bin=module={}",
        out.join("libharness.a").display()
    );
    println!("cargo:rustc-link-arg-bin=module=-Wl,--no-whole-archive");
    println!("cargo:rustc-link-arg-bin=module=-lpam");
    // libpam calls some of them too, and the shim calls the harness.
    println!("cargo:rustc-link-arg-bin=module=-rdynamic");
    let shim = out.join("pam_mfa.so");
    let built = Command::new("cc")
        .args(["-O1", "-fPIC", "-shared", "module/shim.c", "-o"])
        .arg(&shim)
        .status();
    assert!(built.unwrap().success());
    println!("cargo:rustc-env=MFA_FUZZ_SHIM={}", shim.display());
}
