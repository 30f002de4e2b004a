//! How the program that goes into an image is linked.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=image.ld");
    let variable = |name: &str| env::var(name).unwrap_or_default();
    // Only the image's program is linked statically, and its panics never unwind.
    let is_static = variable("CARGO_CFG_TARGET_FEATURE")
        .split(',')
        .any(|feature| feature == "crt-static");
    // Where it is known to work: other linkers, or one called without a C compiler, take other words for it.
    let target = variable("TARGET");
    let is_known = target == "x86_64-unknown-linux-gnu" && target == variable("HOST");
    if is_static && is_known {
        let script = Path::new(&variable("CARGO_MANIFEST_DIR")).join("image.ld");
        for argument in [
            &format!("-Wl,-T,{}", script.display()),
            "-Wl,--no-eh-frame-hdr",
            "-Wl,-O2",
        ] {
            println!("cargo::rustc-link-arg-bin=app={argument}");
        }
    }
}
