//! Checks whether the program in an image of another builder can start.

use std::collections::BTreeSet;
use std::io::{Cursor, Read};

use serde_json::Value;

use super::{Archive, Saved, clean, strings, unreadable};
use crate::Architecture;
use crate::elf::{self, ElfError, SCRIPT};
use crate::pack_error::PackError;

/// Number of bytes of a program that are checked. The relevant ELF headers are at its start.
pub(super) const MAX_PROGRAM: u64 = 16 << 20;
/// Limit for hard links to follow. More than one is rare, and a cycle would never end.
const MAX_LINKS: usize = 8;

impl Archive {
    /// Detects defects that would otherwise only show when the service fails to start. These are
    /// files that are not programs, programs for another architecture, and programs whose loader is
    /// not in the image. Paths by `PATH` or symbolic links are not checked.
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
        // Only the file name is compared: the loader's folder may be a symbolic link, as `/lib64`
        // often is.
        let has = |loader: &str| names.contains(loader.rsplit('/').next().unwrap_or(loader));
        match elf::check(&mut Cursor::new(program), architecture) {
            Ok(()) => Ok(()),
            Err(ElfError::NotElf) if is_script => Ok(()),
            // Tools such as `patchelf` may put the loader's path at the end of the file, beyond the
            // part that was read.
            Err(ElfError::Dynamic { interpreter }) if is_cut && interpreter.is_empty() => Ok(()),
            Err(ElfError::Dynamic { interpreter }) if has(&interpreter) => Ok(()),
            Err(problem) => Err(PackError::Unusable {
                path: first.to_owned(),
                problem,
            }),
        }
    }

    /// Returns the start of a file in the image. Collects the names of all files that are read on
    /// the way in `names`.
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
                // A hard link keeps its content even if a higher layer replaces the target.
                Some((index, Found::HardLink(target))) => {
                    path = target;
                    layers = &layers[..=index];
                }
                Some((_, Found::Other)) | None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Returns the last entry for a path, and the index of its layer.
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

/// Entry of a layer at a path.
enum Found {
    /// Regular file, with the start of its content.
    File(Vec<u8>),
    /// Hard link to this file of the layer.
    HardLink(String),
    /// Folder or symbolic link.
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
