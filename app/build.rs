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
    if is_static && variable("CARGO_CFG_TARGET_OS") == "linux" {
        let script = Path::new(&variable("CARGO_MANIFEST_DIR")).join("image.ld");
        // Not relocatable: a tenth of the program less to send, and nothing to relocate at start-up. Stack, heap and
        // libraries' mappings are at random addresses all the same, and the program has no unsafe code of its own.
        for argument in [
            "-static".to_owned(),
            "-no-pie".to_owned(),
            format!("-Wl,-T,{}", script.display()),
            "-Wl,--no-eh-frame-hdr".to_owned(),
            "-Wl,--icf=all".to_owned(),
        ] {
            println!("cargo::rustc-link-arg-bin=app={argument}");
        }
    }
}
