//! Writes licences and SBOM of a program that cargo has compiled, in the form that images have:
//! `scripts/package` does so where programs are not made by the image builder. Reads cargo's JSON
//! messages.

use std::error::Error;
use std::fs;
use std::path::Path;

use image_builder::cargo::{Surroundings, linked, parts};
use image_builder::image::NOTICES_FOLDER;
use image_builder::notices::notices;
use image_builder::sbom::sbom;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [program, target, target_folder, out] = arguments.as_slice() else {
        return Err("usage: documents PROGRAM TARGET TARGET_FOLDER OUT <MESSAGES".into());
    };
    let messages = std::io::read_to_string(std::io::stdin())?;
    let parts = parts(&messages, Path::new(target_folder));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let linked = runtime.block_on(linked(Path::new("."), target, &Surroundings::from_env()))?;
    let out = Path::new(out);
    let document = sbom(program, &parts, Path::new("Cargo.lock"), &linked);
    fs::write(out.join(format!("{program}.cdx.json")), document.content)?;
    let folder = out.join(NOTICES_FOLDER);
    fs::create_dir_all(&folder)?;
    for notice in notices(&parts, &linked) {
        fs::write(folder.join(notice.name), notice.text)?;
    }
    Ok(())
}
