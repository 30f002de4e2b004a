//! Requirements of a program, read from its ELF headers, so that they are checked before anything
//! is pushed.

use std::io::{self, Read, Seek};

use object::elf::{DT_NEEDED, DT_STRTAB, EM_AARCH64, EM_X86_64, FileHeader64, PT_INTERP};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};
use object::{LittleEndian, ReadCache, ReadRef as _};

use crate::Architecture;

/// First bytes of a script, which is not an ELF file. The kernel starts the interpreter named after
/// them.
pub(crate) const SCRIPT: &[u8] = b"#!";

/// Length limit for the name of a library, in bytes.
const MAX_NAME: u64 = 4096;

/// Reason why a program cannot run in an empty image.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// The file is not a Linux program, or damaged.
    #[error("it is not a 64-bit Linux program")]
    NotElf,
    /// The program is for another architecture.
    #[error("it is not made for {expected}")]
    OtherMachine {
        /// Architecture that was requested.
        expected: Architecture,
    },
    /// The program needs a dynamic loader and libraries, which an empty image does not have.
    #[error("it is not static: it needs `{interpreter}`")]
    Dynamic {
        /// Path of the dynamic loader.
        interpreter: String,
    },
    /// The file cannot be read.
    #[error("it cannot be read")]
    Read(#[from] io::Error),
}

/// Files that a program needs besides the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Path of the dynamic loader, if the program is dynamically linked.
    pub(crate) interpreter: Option<String>,
    /// File names of shared libraries.
    pub(crate) libraries: Vec<String>,
}

/// Checks that the program is statically linked and for this architecture.
pub fn check(program: &mut (impl Read + Seek), architecture: Architecture) -> Result<(), ElfError> {
    match needs(program, architecture)?.interpreter {
        Some(interpreter) => Err(ElfError::Dynamic { interpreter }),
        None => Ok(()),
    }
}

/// Reads the requirements of a program for this architecture.
pub(crate) fn needs(
    program: &mut (impl Read + Seek),
    architecture: Architecture,
) -> Result<Needs, ElfError> {
    let data = ReadCache::new(program);
    let not_elf = |_: object::Error| ElfError::NotElf;
    let header = FileHeader64::<LittleEndian>::parse(&data).map_err(not_elf)?;
    let endian = header.endian().map_err(not_elf)?;
    let machine = match architecture {
        Architecture::X86_64 => EM_X86_64,
        Architecture::Arm64 => EM_AARCH64,
    };
    if header.e_machine(endian) != machine {
        return Err(ElfError::OtherMachine {
            expected: architecture,
        });
    }
    let segments = header.program_headers(endian, &data).map_err(not_elf)?;
    // An object file has no segments: only an executable can be started.
    if segments.is_empty() {
        return Err(ElfError::NotElf);
    }
    let mut needs = Needs::default();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for segment in segments {
        if segment.p_type(endian) == PT_INTERP {
            // A path beyond the end of the data is still a sign of a dynamic program.
            let path = segment.interpreter(endian, &data).ok().flatten();
            needs.interpreter = Some(text(path.unwrap_or_default()));
        }
        let Ok(Some(dynamic)) = segment.dynamic(endian, &data) else {
            continue;
        };
        let value = |entry: &_| object::read::elf::Dyn::d_val(entry, endian);
        let strings = dynamic
            .iter()
            .find(|entry| entry.d_tag(endian) == DT_STRTAB);
        // `DT_STRTAB` is a virtual address, so the segment that contains it gives the offset in the
        // file.
        let offset = strings.and_then(|entry| {
            let address = value(entry);
            segments.iter().find_map(|segment| {
                let within = address.checked_sub(segment.p_vaddr(endian))?;
                (within < segment.p_filesz(endian)).then(|| segment.p_offset(endian) + within)
            })
        });
        let Some(offset) = offset else { continue };
        let needed = dynamic
            .iter()
            .filter(|entry| entry.d_tag(endian) == DT_NEEDED);
        let names = needed.filter_map(|entry| {
            let start = offset.checked_add(value(entry))?;
            let end = start.checked_add(MAX_NAME)?;
            let end = end.min((&data).len().ok()?);
            (&data).read_bytes_at_until(start..end, 0).ok()
        });
        needs.libraries.extend(names.map(text));
    }
    Ok(needs)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::testing::elf as program;

    fn verdict(bytes: Vec<u8>, architecture: Architecture) -> String {
        match check(&mut Cursor::new(bytes), architecture) {
            Ok(()) => "ok".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn verdicts() {
        let table = [
            (program(62, &[1, 6]), "ok"),
            (program(183, &[1]), "it is not made for X86_64"),
            (program(62, &[1, 3]), "it is not static: it needs ``"),
            (program(62, &[]), "it is not a 64-bit Linux program"),
            (Vec::new(), "it is not a 64-bit Linux program"),
            (
                b"#!/bin/sh\nexit 0\n".repeat(9),
                "it is not a 64-bit Linux program",
            ),
            (
                program(62, &[1])[..70].to_vec(),
                "it is not a 64-bit Linux program",
            ),
        ];
        for (bytes, expected) in table {
            assert_eq!(verdict(bytes, Architecture::X86_64), expected);
        }
        assert_eq!(verdict(program(183, &[1]), Architecture::Arm64), "ok");
    }

    #[test]
    fn a_table_beyond_all_bounds_is_no_program() {
        let mut bytes = program(62, &[1]);
        bytes[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(check(&mut Cursor::new(bytes), Architecture::X86_64).is_err());
    }

    #[test]
    fn a_dynamic_program_of_this_machine_is_refused() {
        let architecture: Architecture = std::env::consts::ARCH.parse().unwrap();
        // This test itself: cargo links tests dynamically unless it is told otherwise.
        let mut program = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        let error = check(&mut program, architecture).unwrap_err().to_string();
        assert!(
            error.starts_with("it is not static: it needs `/lib"),
            "{error}"
        );
    }
}
