//! Packing and pushing the same program with three contestants: the deployer, Docker's build and
//! push, and skopeo, which only pushes an image packed before.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use image_builder::base::Bases;
use image_builder::cache::LayerCache;
use image_builder::image::BuiltImage;
use serde_json::{Value, json};

use crate::ours;
use crate::output::note;
use crate::process::{Error, clean_up, command, run};
use crate::registry::Registry;
use crate::report::Table;
use crate::setting::Setting;
use crate::stats::order;

/// Maximum time of one step.
const LIMIT: Duration = Duration::from_mins(1);

pub(crate) const OURS: &str = "deployer";
pub(crate) const DOCKER: &str = "docker build + push";
pub(crate) const SKOPEO: &str = "skopeo copy (no packing)";
pub(crate) const NEW: &str = "new content";
pub(crate) const UNCHANGED: &str = "unchanged";
pub(crate) const LAYER: &str = "layer, gzip";

const CONTESTANTS: [&str; 3] = [OURS, DOCKER, SKOPEO];

/// Registry and files of all rounds.
pub(crate) struct Workspace {
    pub(crate) registry: Registry,
    /// A Dockerfile and the program beside it.
    pub(crate) folder: PathBuf,
    pub(crate) dockerfile: PathBuf,
    pub(crate) this_program: PathBuf,
}

/// Measures times and sizes.
pub(crate) fn measure(setting: &Setting, program: &Path) -> Result<[Table; 2], Error> {
    let folder = setting.scratch().join("pack");
    fs::create_dir_all(&folder).map_err(Error::at(folder.display()))?;
    let dockerfile = setting.root.join("Dockerfile");
    let text = fs::read_to_string(&dockerfile).map_err(Error::at(dockerfile.display()))?;
    write(&folder.join("Dockerfile"), final_stage(&text).as_bytes())?;
    let workspace = Workspace {
        registry: Registry::start(setting.scratch())?,
        this_program: std::env::current_exe().map_err(Error::at("cannot find myself"))?,
        folder,
        dockerfile,
    };
    let mut times = Table::new("Pack and push", OURS);
    let rounds = setting.rounds(10);
    for round in 0..=rounds {
        note(&format!("pack and push, round {round} of {rounds}"));
        let measured = workspace.round(program, round);
        workspace.remove(round);
        // The first round warms caches.
        for (quantity, contestant, seconds) in measured?.into_iter().filter(|_| round > 0) {
            times.add((quantity, "ms"), contestant, seconds * 1e3);
        }
    }
    Ok([times.finish(), workspace.sizes(program)?])
}

impl Workspace {
    fn round(
        &self,
        program: &Path,
        round: usize,
    ) -> Result<Vec<(&'static str, &'static str, f64)>, Error> {
        self.change(program)?;
        // Input of skopeo. Packed without the cache, so that the deployer's turn packs again.
        let image = self.packed()?;
        let layout = self.folder.with_file_name("layout");
        write_layout(&image, &layout)?;
        let mut measured = Vec::new();
        for quantity in [NEW, UNCHANGED] {
            for index in order(CONTESTANTS.len(), round) {
                let contestant = CONTESTANTS.get(index).copied().unwrap_or(OURS);
                let took = match contestant {
                    OURS => self.ours()?.0,
                    DOCKER => self.docker(round)?,
                    _ => self.skopeo(&layout, round)?,
                };
                measured.push((quantity, contestant, took.as_secs_f64()));
            }
        }
        Ok(measured)
    }

    /// Packs without a cache and without base images.
    fn packed(&self) -> Result<BuiltImage, Error> {
        let cache = LayerCache::default();
        ours::pack(&self.dockerfile, &self.folder, &Bases::new(), &cache)
    }

    /// Writes the program with different trailing bytes: new content of the same size that
    /// compresses equally well.
    pub(crate) fn change(&self, program: &Path) -> Result<(), Error> {
        let mut content = fs::read(program).map_err(Error::at(program.display()))?;
        let now = chrono::Utc::now().timestamp_nanos_opt().unwrap_or_default();
        content.extend_from_slice(format!("{now:064}").as_bytes());
        let path = self.folder.join("app");
        write(&path, &content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .map_err(Error::at(path.display()))
    }

    /// Packs and pushes. Returns the time, and the largest amount of memory in bytes.
    pub(crate) fn ours(&self) -> Result<(Duration, f64), Error> {
        let mut ours = command(&self.this_program);
        ours.arg("pack-push")
            .arg(&self.dockerfile)
            .arg(&self.folder);
        ours.arg(format!("{}/ours", self.registry.address));
        let finished = run(&mut ours, LIMIT)?;
        let memory = finished
            .stdout
            .lines()
            .nth(1)
            .and_then(|it| it.parse().ok());
        let memory =
            memory.ok_or_else(|| Error::Failed("no peak of memory is known".to_owned()))?;
        Ok((finished.took, memory))
    }

    fn tag(&self, round: usize) -> String {
        format!("{}/docker:{round}", self.registry.address)
    }

    pub(crate) fn docker(&self, round: usize) -> Result<Duration, Error> {
        let tag = self.tag(round);
        let mut build = command("docker");
        build
            .args(["build", "--quiet", "--tag", &tag])
            .arg(&self.folder);
        let build_time = run(&mut build, LIMIT)?.took;
        let pushed = run(command("docker").args(["push", "--quiet", &tag]), LIMIT)?;
        Ok(build_time + pushed.took)
    }

    fn skopeo(&self, layout: &Path, round: usize) -> Result<Duration, Error> {
        let mut copy = command("skopeo");
        copy.args([
            "--insecure-policy",
            "copy",
            "--quiet",
            "--dest-tls-verify=false",
        ]);
        copy.arg(format!("oci:{}:it", layout.display()));
        copy.arg(format!("docker://{}/skopeo:{round}", self.registry.address));
        Ok(run(&mut copy, LIMIT)?.took)
    }

    /// Removes the image of this round from Docker.
    pub(crate) fn remove(&self, round: usize) {
        let tag = self.tag(round);
        let exists = run(command("docker").args(["image", "inspect", &tag]), LIMIT).is_ok();
        // After an interruption `inspect` fails without telling anything, so removal is tried in
        // any case.
        if exists || crate::process::check().is_err() {
            clean_up(
                command("docker").args(["image", "rm", "--force", &tag]),
                LIMIT,
            );
        }
    }

    /// Measures sizes with the unchanged program, from the blobs that each contestant pushed.
    fn sizes(&self, program: &Path) -> Result<Table, Error> {
        fs::copy(program, self.folder.join("app")).map_err(Error::at(program.display()))?;
        let image = self.packed()?;
        // A tag that no round uses.
        let round = usize::MAX;
        let docker = self.docker(round).and_then(|_| {
            let mut inspect = command("skopeo");
            inspect.args(["inspect", "--raw", "--tls-verify=false"]);
            inspect.arg(format!("docker://{}", self.tag(round)));
            run(&mut inspect, LIMIT)
        });
        self.remove(round);
        let manifest: Value = serde_json::from_str(&docker?.stdout)
            .map_err(|error| Error::Failed(format!("Docker's manifest is not JSON: {error}")))?;
        let layers = manifest.get("layers").and_then(Value::as_array);
        let layers = layers.map(Vec::as_slice).unwrap_or_default();
        let docker: u64 = layers
            .iter()
            .filter_map(|it| it.get("size")?.as_u64())
            .sum();
        let ours: u64 = image.layers.iter().map(|layer| layer.content.size()).sum();
        let unpacked: u64 = image.layers.iter().map(|it| it.uncompressed_size).sum();

        let mut table = Table::new("Size of the image", OURS);
        let megabytes = |bytes: f64| bytes / 1e6;
        #[expect(clippy::cast_precision_loss, reason = "sizes of files")]
        for (quantity, contestant, bytes) in [
            (LAYER, OURS, ours as f64),
            (LAYER, DOCKER, docker as f64),
            ("unpacked", OURS, unpacked as f64),
        ] {
            table.add((quantity, "MB"), contestant, megabytes(bytes));
        }
        Ok(table.finish())
    }
}

pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    let file = fs::File::create(path).and_then(|mut file| file.write_all(content));
    file.map_err(Error::at(path.display()))
}

/// Writes the image as an OCI image layout, which skopeo reads.
fn write_layout(image: &BuiltImage, folder: &Path) -> Result<(), Error> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(Error::at(folder.display()))?;
    }
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(Error::at(blobs.display()))?;
    let at = |digest: &str| blobs.join(digest.trim_start_matches("sha256:"));
    for document in [&image.manifest, &image.config] {
        write(&at(&document.digest), &document.content)?;
    }
    for layer in &image.layers {
        let mut content = Vec::new();
        let read = layer.content.open().read_to_end(&mut content);
        read.map_err(Error::at("a layer"))?;
        write(&at(&layer.digest), &content)?;
    }
    let index = json!({ "schemaVersion": 2, "manifests": [{
        "mediaType": image.manifest.media_type,
        "digest": image.manifest.digest,
        "size": image.manifest.content.len(),
        "annotations": { "org.opencontainers.image.ref.name": "it" },
    }]});
    write(&folder.join("index.json"), index.to_string().as_bytes())?;
    let version = json!({ "imageLayoutVersion": "1.0.0" });
    write(&folder.join("oci-layout"), version.to_string().as_bytes())
}

/// Returns the Dockerfile's final stage alone, with the program from the context instead of from an
/// earlier stage.
pub(crate) fn final_stage(dockerfile: &str) -> String {
    let start = dockerfile.rfind("\nFROM ").map_or(0, |at| at + 1);
    let stage = dockerfile.get(start..).unwrap_or_default();
    let lines = stage.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["COPY", from, source, destination] if from.starts_with("--from=") => {
                let name = source.rsplit('/').next().unwrap_or(source);
                format!("COPY {name} {destination}")
            }
            _ => line.to_owned(),
        }
    });
    lines.map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::final_stage;

    #[test]
    fn the_final_stage_stands_alone() {
        let dockerfile = "FROM rust AS build\nRUN cargo build\n\nFROM scratch\nLABEL a=b\n\
                          COPY --from=build /out/app /app\nENTRYPOINT [\"/app\"]\n";
        let expected = "FROM scratch\nLABEL a=b\nCOPY app /app\nENTRYPOINT [\"/app\"]\n";
        assert_eq!(final_stage(dockerfile), expected);
    }
}
