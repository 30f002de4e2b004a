//! Memory of a build. The only test of its program, since the peak is that of the process.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use image_builder::base::{self, BaseSource, Bases, DockerCredentials};
use image_builder::cache::LayerCache;
use image_builder::dockerfile::{Dockerfile, Request};
use image_builder::oci::{Recipe, build};
use image_builder::{Architecture, archive, unpack};
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// Size of a file of another image, and limit for the memory, in bytes.
const SIZE: u64 = 100 << 20;
const LIMIT: u64 = 64 << 20;

/// Content that does not compress.
struct Noise(u64);

impl Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for bytes in buffer.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            bytes.copy_from_slice(&self.0.to_le_bytes()[..bytes.len()]);
        }
        Ok(buffer.len())
    }
}

/// Moves a file to where the cache of base images has it. Returns its descriptor.
fn keep(folder: &Path, file: &Path) -> io::Result<serde_json::Value> {
    let mut hash = Sha256::new();
    let size = io::copy(&mut File::open(file)?, &mut hash)?;
    let digits = format!("{:x}", hash.finalize());
    fs::rename(file, folder.join(&digits))?;
    Ok(json!({ "digest": format!("sha256:{digits}"), "size": size }))
}

/// Puts an image with one large file into the cache of base images; returns its name.
fn base_image(folder: &Path) -> io::Result<String> {
    let file = folder.join("file");
    let mut layer = tar::Builder::new(File::create(&file)?);
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(SIZE);
    let content = Noise(0x9e37_79b9_7f4a_7c15).take(SIZE);
    layer.append_data(&mut header, "large", content)?;
    layer.into_inner()?;
    let mut layer = keep(folder, &file)?;
    layer["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar");
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
    });
    fs::write(&file, config.to_string())?;
    let config = keep(folder, &file)?;
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [layer] });
    fs::write(&file, manifest.to_string())?;
    let manifest = keep(folder, &file)?;
    Ok(format!(
        "registry.example/large@{}",
        manifest["digest"].as_str().unwrap_or_default()
    ))
}

#[tokio::test]
async fn a_large_file_of_another_image_is_never_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let source = BaseSource {
        folder: folder.path().join("bases"),
        architecture: Architecture::X86_64,
        roots: Vec::new(),
        credentials: DockerCredentials::default(),
    };
    fs::create_dir(&source.folder).unwrap();
    let name = base_image(&source.folder).unwrap();
    let base = base::fetch(&name, &source).await.unwrap();
    let settings = [(name.clone(), base.settings.clone())].into();
    let bases: Bases = [(name.clone(), Arc::new(base))].into();
    let context = folder.path().join("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("start"), "#!/large\n").unwrap();
    let text = format!(
        "FROM scratch\nCOPY --from={name} /large /data/\nCOPY --chmod=755 start /\nCMD [\"/start\"]"
    );
    let request = Request {
        architecture: Architecture::X86_64,
        package: "app",
        program: "app",
        stage: None,
        args: &BTreeMap::new(),
        bases: &settings,
    };
    let dockerfile = Dockerfile::parse(&text, &request).unwrap();
    let cache = LayerCache::in_folder(folder.path().join("layers"));
    let recipe = Recipe {
        stage: &dockerfile.stage,
        program: "app",
        program_path: None,
        bases: &bases,
        context: &context,
        ignore_file: &context.join(".dockerignore"),
        own_folder: None,
        architecture: Architecture::X86_64,
        created: chrono::DateTime::UNIX_EPOCH,
        labels: &BTreeMap::new(),
        notices: &[],
        cache: &cache,
    };
    let image = build(&recipe).unwrap();
    assert!(image.size() > SIZE);
    let file = folder.path().join("image.tar");
    archive::write(&image, "app:v1", &file).unwrap();
    let restored = unpack::restore(&file, Architecture::X86_64).unwrap();
    assert_eq!(restored, image);
    // From the cache.
    assert_eq!(build(&recipe).unwrap(), image);

    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|it| it.strip_prefix("VmHWM:"));
    let peak = peak.unwrap().trim().trim_end_matches(" kB");
    let peak = peak.parse::<u64>().unwrap() * 1024;
    assert!(peak < LIMIT, "{} MiB", peak >> 20);
}
