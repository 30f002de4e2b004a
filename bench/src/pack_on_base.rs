//! Packing and pushing a program on a base image of the size of debian:bookworm-slim, by the deployer
//! and by Docker's build and push. Both have the base image already.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::output::note;
use crate::pack::{DOCKER, OURS, Workspace, final_stage, write};
use crate::process::{Error, clean_up, command, run};
use crate::registry::Registry;
use crate::report::Table;
use crate::setting::Setting;
use crate::stats::order;

/// Maximum time of one step.
const LIMIT: Duration = Duration::from_mins(3);
/// Size of the base image, unpacked, in bytes.
const SIZE: u64 = 80_000_000;
/// Folders of this machine whose files are in the base image: programs, libraries and small files, as
/// in Debian's.
const FOLDERS: [&str; 3] = ["usr/share/zoneinfo", "usr/share/doc", "usr/bin"];
/// Largest file that is taken, in bytes.
const MAX_FILE: u64 = 4_000_000;

pub(crate) const FIRST: &str = "base, first push";
pub(crate) const NEW: &str = "base, new content";
pub(crate) const UNCHANGED: &str = "base, unchanged";
pub(crate) const MEMORY: &str = "base, largest memory";

const CONTESTANTS: [&str; 2] = [OURS, DOCKER];

/// Measures times, and the deployer's memory.
pub(crate) fn measure(setting: &Setting, program: &Path) -> Result<Table, Error> {
    let scratch = setting.scratch().join("on-base");
    let folder = scratch.join("context");
    for folder in [&scratch.join("source"), &folder] {
        fs::create_dir_all(folder).map_err(Error::at(folder.display()))?;
    }
    let source = Registry::start(&scratch.join("source"))?;
    let base = format!("{}/base:1", source.address);
    let result = make_base(&scratch, &base)
        .and_then(|()| rounds(setting, program, &base, (&scratch, &folder)));
    clean_up(
        command("docker").args(["image", "rm", "--force", &base]),
        LIMIT,
    );
    result
}

fn rounds(
    setting: &Setting,
    program: &Path,
    base: &str,
    (scratch, folder): (&Path, &Path),
) -> Result<Table, Error> {
    let original = setting.root.join("Dockerfile");
    let text = fs::read_to_string(&original).map_err(Error::at(original.display()))?;
    let text = text.replace("\nFROM scratch", &format!("\nFROM {base}"));
    let dockerfile = scratch.join("Dockerfile");
    write(&dockerfile, text.as_bytes())?;
    write(&folder.join("Dockerfile"), final_stage(&text).as_bytes())?;
    let this_program = std::env::current_exe().map_err(Error::at("cannot find myself"))?;
    let mut table = Table::new("Pack and push on a base image of 80 MB", OURS);
    let rounds = setting.rounds(5);
    for round in 0..=rounds {
        note(&format!("on a base image, round {round} of {rounds}"));
        let place = scratch.join(format!("round-{round}"));
        // An empty registry for each, so that nobody finds what the other has pushed.
        let workspaces = CONTESTANTS.map(|contestant| {
            let place = place.join(if contestant == OURS { "ours" } else { "docker" });
            fs::create_dir_all(&place).map_err(Error::at(place.display()))?;
            Ok(Workspace {
                registry: Registry::start(&place)?,
                folder: folder.to_owned(),
                dockerfile: dockerfile.clone(),
                this_program: this_program.clone(),
            })
        });
        let workspaces = workspaces.into_iter().collect::<Result<Vec<_>, Error>>()?;
        let measured = one_round(&workspaces, program, round);
        for workspace in &workspaces {
            workspace.remove(round);
        }
        drop(workspaces);
        fs::remove_dir_all(&place).map_err(Error::at(place.display()))?;
        // The first round fills the caches.
        for (quantity, contestant, value) in measured?.into_iter().filter(|_| round > 0) {
            table.add(quantity, contestant, value);
        }
    }
    Ok(table.finish())
}

/// Values of a round: quantity with its unit, contestant and value.
type Measured = Vec<((&'static str, &'static str), &'static str, f64)>;

fn one_round(workspaces: &[Workspace], program: &Path, round: usize) -> Result<Measured, Error> {
    let mut measured = Measured::new();
    let mut largest: f64 = 0.0;
    for quantity in [FIRST, NEW, UNCHANGED] {
        // All have the same folder.
        if let Some(workspace) = workspaces.first().filter(|_| quantity != UNCHANGED) {
            workspace.change(program)?;
        }
        for index in order(CONTESTANTS.len(), round) {
            let (Some(&contestant), Some(workspace)) =
                (CONTESTANTS.get(index), workspaces.get(index))
            else {
                continue;
            };
            let took = if contestant == OURS {
                let (took, memory) = workspace.ours()?;
                largest = largest.max(memory);
                took
            } else {
                workspace.docker(round)?
            };
            measured.push(((quantity, "ms"), contestant, took.as_secs_f64() * 1e3));
        }
    }
    measured.push(((MEMORY, "MB"), OURS, largest / 1e6));
    Ok(measured)
}

/// Makes the base image from files of this machine, and pushes it.
fn make_base(scratch: &Path, name: &str) -> Result<(), Error> {
    let mut files = Vec::new();
    let mut left = SIZE;
    for folder in FOLDERS {
        collect(&Path::new("/").join(folder), &mut files, &mut left)?;
    }
    let list = scratch.join("files");
    let names: Vec<_> = files.iter().filter_map(|path| path.to_str()).collect();
    write(&list, names.join("\n").as_bytes())?;
    let archive = scratch.join("base.tar");
    let mut tar = command("tar");
    tar.args(["--create", "--absolute-names", "--file"]);
    tar.arg(&archive).arg("--files-from").arg(&list);
    run(&mut tar, LIMIT)?;
    run(
        command("docker").arg("import").arg(&archive).arg(name),
        LIMIT,
    )?;
    run(command("docker").args(["push", "--quiet", name]), LIMIT)?;
    fs::remove_file(&archive).map_err(Error::at(archive.display()))
}

/// Adds the files below a folder in the order of their names, until nothing is left of the size.
fn collect(folder: &Path, files: &mut Vec<PathBuf>, left: &mut u64) -> Result<(), Error> {
    let entries = fs::read_dir(folder).map_err(Error::at(folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let about = fs::symlink_metadata(&path).map_err(Error::at(path.display()))?;
        if about.is_dir() {
            collect(&path, files, left)?;
        } else if about.is_file() && about.len() <= MAX_FILE.min(*left) {
            *left -= about.len();
            files.push(path);
        }
    }
    Ok(())
}
