//! The program of an image that another builder made: whether it can start.

use std::collections::BTreeSet;
use std::io::{Cursor, Read};

use serde_json::Value;

use super::{Archive, Saved, clean, strings, unreadable};
use crate::Architecture;
use crate::elf::{self, ElfError, SCRIPT};
use crate::pack_error::PackError;

/// So much of a program is looked at, in bytes: what says how it is started stands at its beginning.
pub(super) const MAX_PROGRAM: u64 = 16 << 20;
/// So often a file of a layer may be a link to another one: seldom more than once, and in circles it would have no end.
const MAX_LINKS: usize = 8;

impl Archive {
    /// Finds now what would otherwise be found when the service does not start: what is no program at all, a program for another
    /// processor, or one that needs a loader which is not in the image. What is found through `PATH` or symbolic links is left to
    /// the runtime.
    pub(super) fn check_program(
        &self,
        config: &Value,
        saved: &Saved,
        architecture: Architecture,
    ) -> Result<(), PackError> {
        let words = [&config["config"]["Entrypoint"], &config["config"]["Cmd"]];
        let first = words
            .into_iter()
            .flat_map(strings)
            .next()
            .unwrap_or_default();
        let Some(wanted) = first.strip_prefix('/') else {
            return Ok(());
        };
        let mut names = BTreeSet::new();
        let Some(program) = self.program(wanted, &saved.layers, &mut names)? else {
            return Ok(());
        };
        let is_script = program.starts_with(SCRIPT);
        let is_cut = program.len() as u64 == MAX_PROGRAM;
        let has = |loader: &str| names.contains(loader.rsplit('/').next().unwrap_or(loader));
        match elf::check(&mut Cursor::new(program), architecture) {
            Ok(()) => Ok(()),
            Err(ElfError::NotElf) if is_script => Ok(()),
            // What sets another loader in a finished program may put its path at the end.
            Err(ElfError::Dynamic { interpreter }) if is_cut && interpreter.is_empty() => Ok(()),
            Err(ElfError::Dynamic { interpreter }) if has(&interpreter) => Ok(()),
            Err(problem) => Err(PackError::Unusable {
                path: first.to_owned(),
                problem,
            }),
        }
    }

    /// The beginning of what is at a path of the image, if that is a file; `names` are those of all files on the way.
    fn program(
        &self,
        path: &str,
        layers: &[String],
        names: &mut BTreeSet<String>,
    ) -> Result<Option<Vec<u8>>, PackError> {
        let (mut path, mut layers) = (path.to_owned(), layers);
        for _ in 0..MAX_LINKS {
            match self.topmost(&path, layers, names)? {
                Some((_, Found::File(content))) => return Ok(Some(content)),
                // Both names have the same content, whatever a higher layer makes of the other one.
                Some((index, Found::HardLink(target))) => {
                    path = target;
                    layers = &layers[..=index];
                }
                Some((_, Found::Other)) | None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// What is at a path, and in which layer: what comes last counts.
    fn topmost(
        &self,
        wanted: &str,
        layers: &[String],
        names: &mut BTreeSet<String>,
    ) -> Result<Option<(usize, Found)>, PackError> {
        let mut topmost = None;
        for (index, name) in layers.iter().enumerate() {
            let mut layer = tar::Archive::new(self.uncompressed(name)?);
            for entry in layer.entries().map_err(unreadable)? {
                let mut entry = entry.map_err(unreadable)?;
                let path = clean(&entry.path().map_err(unreadable)?);
                if path == wanted {
                    topmost = Some((index, found(&mut entry)?));
                }
                let base = path.rsplit('/').next().unwrap_or(&path);
                names.insert(base.to_owned());
            }
        }
        Ok(topmost)
    }
}

/// What a layer has at a path.
enum Found {
    /// The beginning of its content.
    File(Vec<u8>),
    /// Another name of this file of the layer.
    HardLink(String),
    /// A folder, a symbolic link.
    Other,
}

fn found(entry: &mut tar::Entry<'_, impl Read>) -> Result<Found, PackError> {
    let kind = entry.header().entry_type();
    if kind.is_file() {
        let mut content = Vec::new();
        let mut beginning = entry.take(MAX_PROGRAM);
        beginning.read_to_end(&mut content).map_err(unreadable)?;
        Ok(Found::File(content))
    } else if kind.is_hard_link()
        && let Some(target) = entry.link_name().map_err(unreadable)?
    {
        Ok(Found::HardLink(clean(&target)))
    } else {
        Ok(Found::Other)
    }
}
