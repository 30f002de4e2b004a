//! The reader of what `docker save` writes: whatever the file, it ends with an image or a message.
#![no_main]

use std::collections::BTreeMap;

use chrono::DateTime;
use image_builder::Architecture;
use image_builder::cache::LayerCache;
use image_builder::unpack::{Wanted, unpack};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("archive");
    std::fs::write(&file, data).expect("a file");
    let labels = BTreeMap::new();
    let wanted = Wanted {
        architecture: Architecture::X86_64,
        created: DateTime::UNIX_EPOCH,
        labels: &labels,
        cache: &LayerCache::in_folder(folder.path().join("layers")),
    };
    if let Err(error) = unpack(&file, &wanted) {
        assert!(!error.to_string().is_empty());
    }
});
