//! The reader of what `docker save` writes, and of the programs in it: whatever they are, it ends with an image or a message.
#![no_main]

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};

use arbitrary::Arbitrary;
use chrono::DateTime;
use image_builder::Architecture;
use image_builder::cache::LayerCache;
use image_builder::elf;
use image_builder::unpack::{Wanted, unpack};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

#[derive(Debug, Arbitrary)]
struct Input {
    layers: Vec<Layer>,
    /// Added to the configuration, or instead of it.
    config: Option<String>,
    config_is_whole: bool,
    entrypoint: Option<Vec<String>>,
    history: Vec<String>,
    manifest: Option<String>,
    /// Bytes of the archive that are others, by position.
    changed: Vec<(u16, u8)>,
    cut_at: Option<u16>,
}

#[derive(Debug, Arbitrary)]
struct Layer {
    is_compressed: bool,
    files: Vec<(String, Vec<u8>)>,
    program: Option<Vec<u8>>,
    /// Instead of what it holds.
    link: Option<String>,
    has_another_digest: bool,
}

fuzz_target!(|input: Input| {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("archive");
    std::fs::write(&file, archive(&input)).expect("a file");
    let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let wanted = Wanted {
        architecture: Architecture::X86_64,
        created: DateTime::UNIX_EPOCH,
        labels: &labels,
        cache: &LayerCache::default(),
    };
    match unpack(&file, &wanted) {
        Ok(image) => {
            let config: Value = serde_json::from_slice(&image.config.content).expect("JSON");
            let ids = config["rootfs"]["diff_ids"].as_array().map(Vec::len);
            assert_eq!(ids, Some(image.layers.len()));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    for layer in &input.layers {
        if let Some(program) = &layer.program {
            let _ = elf::check(&mut Cursor::new(program), Architecture::Arm64);
        }
    }
});

fn archive(input: &Input) -> Vec<u8> {
    let mut entries = Vec::new();
    let mut ids = Vec::new();
    for (index, layer) in input.layers.iter().enumerate() {
        let content = content(layer);
        ids.push(if layer.has_another_digest {
            digest(b"")
        } else {
            digest(&content)
        });
        entries.push((
            format!("{index}/layer.tar"),
            stored(layer, content),
            layer.link.clone(),
        ));
    }
    let names: Vec<String> = entries.iter().map(|(name, _, _)| name.clone()).collect();
    let manifest = json!([{ "Config": "config.json", "Layers": names }]).to_string();
    let manifest = input.manifest.clone().unwrap_or(manifest);
    entries.push(("manifest.json".to_owned(), manifest.into_bytes(), None));
    let config = config(input, &ids).into_bytes();
    entries.push(("config.json".to_owned(), config, None));
    let mut bytes = tar(&entries);
    for (position, byte) in &input.changed {
        if let Some(found) = bytes.get_mut(usize::from(*position)) {
            *found = *byte;
        }
    }
    bytes.truncate(input.cut_at.map_or(usize::MAX, usize::from));
    bytes
}

fn config(input: &Input, ids: &[String]) -> String {
    let added = input.config.as_deref().unwrap_or("{}");
    if input.config_is_whole {
        return added.to_owned();
    }
    let mut config = json!({
        "architecture": "amd64",
        "config": serde_json::from_str::<Value>(added).unwrap_or_default(),
        "rootfs": { "diff_ids": ids },
        "history": input.history.iter().map(|step| json!({ "created_by": step })).collect::<Vec<_>>(),
    });
    if let (Some(words), Value::Object(runtime)) = (&input.entrypoint, &mut config["config"]) {
        runtime.insert("Entrypoint".to_owned(), json!(words));
    }
    config.to_string()
}

fn content(layer: &Layer) -> Vec<u8> {
    let files = layer
        .files
        .iter()
        .map(|(name, content)| (name.clone(), content.clone(), None));
    let program = layer
        .program
        .iter()
        .map(|content| ("app".to_owned(), content.clone(), None));
    tar(&files.chain(program).collect::<Vec<_>>())
}

fn stored(layer: &Layer, content: Vec<u8>) -> Vec<u8> {
    if !layer.is_compressed {
        return content;
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&content).expect("memory");
    gzip.finish().expect("memory")
}

fn tar(entries: &[(String, Vec<u8>, Option<String>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content, link) in entries {
        let mut header = tar::Header::new_gnu();
        // What the writer takes for no path is left out.
        if let Some(target) = link {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            let _ = archive.append_link(&mut header, name, target);
        } else {
            header.set_size(content.len() as u64);
            let _ = archive.append_data(&mut header, name, &content[..]);
        }
    }
    archive.into_inner().expect("memory")
}

fn digest(content: &[u8]) -> String {
    let hash = Sha256::digest(content);
    hash.iter().fold("sha256:".to_owned(), |text, byte| {
        format!("{text}{byte:02x}")
    })
}
