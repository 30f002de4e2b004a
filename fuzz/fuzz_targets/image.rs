//! The writer of layers, manifests and archives: what it writes is read by others as what was meant, and depends on nothing else.
//!
//! Every image is checked with the `tar` and `flate2` crates and read back from its archive; one in 32 goes through skopeo, too.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use arbitrary::Arbitrary;
use chrono::DateTime;
use image_builder::Architecture;
use image_builder::archive;
use image_builder::base::Bases;
use image_builder::cache::LayerCache;
use image_builder::dockerfile::{
    Account, CopyInstruction, CopySource, ExposedPort, FinalStage, Protocol, Step,
};
use image_builder::layer::Layer;
use image_builder::oci::{self, Recipe};
use image_builder::image::{BuiltImage};
use image_builder::unpack::{Wanted, unpack};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

const PROGRAM: &str = "app";

#[derive(Debug, Arbitrary)]
struct Input {
    files: Vec<File>,
    program: Vec<u8>,
    copies: Vec<Copied>,
    env: Vec<(String, String)>,
    labels: BTreeMap<String, String>,
    own_labels: BTreeMap<String, String>,
    /// By its number: the name of a user would have to be in the image.
    user: Option<u32>,
    ports: Vec<u16>,
    arguments: Vec<String>,
    is_arm: bool,
}

#[derive(Debug, Arbitrary)]
struct File {
    path: String,
    content: Vec<u8>,
    is_executable: bool,
}

#[derive(Debug, Arbitrary)]
struct Copied {
    /// One of the files, or all of the context.
    source: Option<u8>,
    destination: String,
    is_folder: bool,
    owner: Option<(u32, u32)>,
    mode: Option<u16>,
}

fuzz_target!(|input: Input| {
    // A script: what a program has to be like is another target's business.
    let program = [b"#!", &input.program[..]].concat();
    let input = Input { program, ..input };
    let files = files(&input.files);
    let stage = stage(&input, &files);
    let one = Folder::new(&input, files.iter());
    let Some(image) = one.build(&input, &stage) else {
        return;
    };
    // Another folder, filled in another order.
    let other = Folder::new(&input, files.iter().rev());
    assert_eq!(other.build(&input, &stage).as_ref(), Some(&image));
    check_documents(&image);
    let mut folders = BTreeSet::new();
    for (copy, layer) in stage.copies().zip(&image.layers) {
        check_layer(&input, &files, copy, layer, &mut folders);
    }
    check_archive(&input, &image);
});

/// The files of the context by path, as a file system takes them.
fn files(files: &[File]) -> BTreeMap<String, (&[u8], bool)> {
    let mut found: BTreeMap<String, (&[u8], bool)> = BTreeMap::new();
    for file in files {
        let path = clean(&file.path).replace('\0', "0");
        let is_in_the_way = found.keys().any(|other| {
            Path::new(other).starts_with(&path) || Path::new(&path).starts_with(other)
        });
        let is_short = path.len() < 1000 && path.split('/').all(|name| name.len() < 256);
        // Such a name would be a pattern in `COPY`.
        let is_pattern = path.contains(['*', '?', '[']);
        if !path.is_empty() && path != ".dockerignore" && is_short && !is_in_the_way && !is_pattern {
            found.insert(path, (&file.content, file.is_executable));
        }
    }
    found
}

fn clean(path: &str) -> String {
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !matches!(*part, "" | "." | ".."))
        .collect();
    parts.join("/")
}

fn stage(input: &Input, files: &BTreeMap<String, (&[u8], bool)>) -> FinalStage {
    let program = CopyInstruction {
        line: 1,
        from: CopySource::Program("build".to_owned()),
        sources: vec![format!("/out/{PROGRAM}")],
        inline: Vec::new(),
        destination: format!("/{PROGRAM}"),
        owner: None,
        mode: None,
        unpacks: false,
    };
    let others = input.copies.iter().filter_map(|copied| {
        let source = match copied.source {
            Some(index) => files
                .keys()
                .nth(usize::from(index) % files.len().max(1))?
                .clone(),
            None => ".".to_owned(),
        };
        let end = if copied.is_folder { "/" } else { "" };
        let destination = clean(&copied.destination);
        Some(CopyInstruction {
            line: 2,
            from: CopySource::Context,
            sources: vec![source],
            inline: Vec::new(),
            destination: if destination.is_empty() {
                "/".to_owned()
            } else {
                format!("/{destination}{end}")
            },
            owner: copied
                .owner
                .map(|(user, group)| Account::parse(&format!("{user}:{group}"))),
            mode: copied.mode.map(|mode| u32::from(mode) & 0o7777),
            unpacks: false,
        })
    });
    let entrypoint = [format!("/{PROGRAM}")]
        .into_iter()
        .chain(input.arguments.iter().cloned());
    FinalStage {
        steps: [program]
            .into_iter()
            .chain(others)
            .map(Step::Copy)
            .collect(),
        user: input.user.map(|number| number.to_string()),
        exposed_ports: input
            .ports
            .iter()
            .map(|number| ExposedPort {
                number: *number,
                protocol: Protocol::Udp,
            })
            .collect(),
        env: input.env.clone(),
        labels: input.labels.clone(),
        entrypoint: Some(entrypoint.collect()),
        ..FinalStage::default()
    }
}

/// A build context, and the program beside it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new<'a>(
        input: &Input,
        files: impl Iterator<Item = (&'a String, &'a (&'a [u8], bool))>,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let context = folder.path().join("context");
        fs::create_dir(&context).expect("a folder");
        for (path, (content, is_executable)) in files {
            let path = context.join(path);
            fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder");
            fs::write(&path, content).expect("a file");
            let mode = if *is_executable { 0o700 } else { 0o600 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("permissions");
        }
        fs::write(folder.path().join(PROGRAM), &input.program).expect("a file");
        Self(folder)
    }

    fn build(&self, input: &Input, stage: &FinalStage) -> Option<BuiltImage> {
        let built = oci::build(&Recipe {
            stage,
            program: PROGRAM,
            program_path: Some(&self.0.path().join(PROGRAM)),
            bases: &Bases::new(),
            own_folder: None,
            context: &self.0.path().join("context"),
            ignore_file: &self.0.path().join("context/.dockerignore"),
            architecture: architecture(input),
            created: DateTime::UNIX_EPOCH,
            labels: &input.own_labels,
            notices: &[],
            cache: &LayerCache::default(),
        });
        built
            .map_err(|error| assert!(!error.to_string().is_empty()))
            .ok()
    }
}

fn architecture(input: &Input) -> Architecture {
    if input.is_arm {
        Architecture::Arm64
    } else {
        Architecture::X86_64
    }
}

fn content(layer: &Layer) -> Vec<u8> {
    let mut content = Vec::new();
    let mut reader = layer.content.open();
    reader.read_to_end(&mut content).expect("in memory");
    content
}

fn digest(content: &[u8]) -> String {
    let hash = Sha256::digest(content);
    hash.iter().fold("sha256:".to_owned(), |text, byte| {
        format!("{text}{byte:02x}")
    })
}

/// The documents name each other and the layers.
fn check_documents(image: &BuiltImage) {
    assert_eq!(image.manifest.digest, digest(&image.manifest.content));
    assert_eq!(image.config.digest, digest(&image.config.content));
    let manifest: Value = serde_json::from_slice(&image.manifest.content).expect("JSON");
    let config: Value = serde_json::from_slice(&image.config.content).expect("JSON");
    assert_eq!(manifest["config"]["digest"], image.config.digest);
    assert_eq!(manifest["config"]["size"], image.config.content.len());
    assert_eq!(
        manifest["layers"].as_array().map(Vec::len),
        Some(image.layers.len())
    );
    for (index, layer) in image.layers.iter().enumerate() {
        assert_eq!(layer.digest, digest(&content(layer)));
        assert_eq!(manifest["layers"][index]["digest"], layer.digest);
        assert_eq!(manifest["layers"][index]["size"], layer.content.size());
        assert_eq!(config["rootfs"]["diff_ids"][index], layer.diff_id);
    }
}

/// The layer holds what its `COPY` says, and nothing that depends on when or where.
fn check_layer(
    input: &Input,
    files: &BTreeMap<String, (&[u8], bool)>,
    copy: &CopyInstruction,
    layer: &Layer,
    folders: &mut BTreeSet<String>,
) {
    let mut uncompressed = Vec::new();
    flate2::read::GzDecoder::new(layer.content.open())
        .read_to_end(&mut uncompressed)
        .expect("gzip");
    assert_eq!(layer.diff_id, digest(&uncompressed));
    assert_eq!(layer.uncompressed_size, uncompressed.len() as u64);
    let mut found = BTreeMap::new();
    let mut made = folders.clone();
    for entry in tar::Archive::new(&uncompressed[..])
        .entries()
        .expect("an archive")
    {
        let mut entry = entry.expect("an entry");
        let path = String::from_utf8(entry.path_bytes().into_owned()).expect("UTF-8");
        assert!(
            !path.starts_with('/') && !path.split('/').any(|part| part == ".."),
            "{path}"
        );
        let header = entry.header().clone();
        assert_eq!(header.mtime().expect("a time"), 0);
        let owner = format!(
            "{}:{}",
            header.uid().expect("a user"),
            header.gid().expect("a group")
        );
        let expected = copy.owner.as_ref().map(ToString::to_string);
        assert_eq!(owner, expected.unwrap_or_else(|| "0:0".to_owned()));
        if let Some((parent, _)) = path.trim_end_matches('/').rsplit_once('/') {
            assert!(made.contains(parent), "`{path}` comes before its folder");
        }
        if header.entry_type().is_dir() {
            made.insert(path.trim_end_matches('/').to_owned());
        } else {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("its content");
            let mode = header.mode().expect("a mode");
            assert!(found.insert(path, (content, mode)).is_none(), "twice");
        }
    }
    let mut expected = BTreeMap::new();
    let destination = copy.destination.trim_matches('/');
    let is_folder = copy.destination.ends_with('/') || folders.contains(destination);
    let mut expect = |path: String, content: &[u8], is_executable: bool| {
        let usual = if is_executable { 0o755 } else { 0o644 };
        expected.insert(path, (content.to_vec(), copy.mode.unwrap_or(usual)));
    };
    let source = &copy.sources[0];
    if copy.from != CopySource::Context {
        expect(PROGRAM.to_owned(), &input.program, true);
    } else if source == "." {
        for (path, (content, is_executable)) in files {
            expect(joined(destination, path), content, *is_executable);
        }
    } else {
        let (content, is_executable) = files[source];
        let name = source.rsplit('/').next().unwrap_or(source);
        let path = if is_folder {
            joined(destination, name)
        } else {
            destination.to_owned()
        };
        expect(path, content, is_executable);
    }
    assert_eq!(found, expected);
    *folders = made;
}

fn joined(folder: &str, path: &str) -> String {
    if folder.is_empty() {
        path.to_owned()
    } else {
        format!("{folder}/{path}")
    }
}

/// The archive is read as the same image, by us and by skopeo.
fn check_archive(input: &Input, image: &BuiltImage) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("image.tar");
    archive::write(image, "app:v1", &file).expect("an archive");
    let wanted = Wanted {
        architecture: architecture(input),
        created: DateTime::UNIX_EPOCH,
        labels: &input.own_labels,
        cache: &LayerCache::default(),
    };
    let again = unpack(&file, &wanted).expect("what was written can be read");
    let ids = |image: &BuiltImage| -> Vec<String> {
        image
            .layers
            .iter()
            .map(|layer| layer.diff_id.clone())
            .collect()
    };
    assert_eq!(ids(&again), ids(image));
    if image.digest().ends_with(['0', '1']) && image.digest().as_bytes()[69].is_multiple_of(4) {
        check_with_skopeo(image, &file, &folder.path().join("copy"));
    }
}

fn check_with_skopeo(image: &BuiltImage, file: &Path, copy: &Path) {
    let output = Command::new("skopeo")
        .args(["copy", "--quiet", "--insecure-policy"])
        .arg(format!("oci-archive:{}:v1", file.display()))
        .arg(format!("dir:{}", copy.display()))
        .output()
        .expect("skopeo is installed");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let read = |name: &str| fs::read(copy.join(name)).expect("a file");
    assert_eq!(read("manifest.json"), image.manifest.content);
    let blob = |digest: &str| read(digest.trim_start_matches("sha256:"));
    assert_eq!(blob(&image.config.digest), image.config.content);
    for layer in &image.layers {
        assert_eq!(blob(&layer.digest), content(layer));
    }
}
