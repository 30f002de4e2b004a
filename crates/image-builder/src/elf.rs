//! Whether a program can run in an empty image: read from its ELF header, so that it is known before anything is pushed.
//! Layout: System V ABI, "Object Files" (`Elf64_Ehdr`, `Elf64_Phdr`).

use std::io::{self, Read, Seek, SeekFrom};

use super::Architecture;

const HEADER_SIZE: usize = 64;
const PROGRAM_HEADER_SIZE: usize = 56;
/// Real programs have about ten.
const MAX_PROGRAM_HEADERS: u16 = 128;
const MAX_INTERPRETER: u64 = 4096;
/// `PT_INTERP`: the path of the loader that a dynamic program needs.
const INTERPRETER: u32 = 3;
/// `ELFCLASS64`, `ELFDATA2LSB`
const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;
/// `EM_X86_64`, `EM_AARCH64`
const X86_64: u16 = 62;
const AARCH64: u16 = 183;

/// What a script begins with, which is no such program: the kernel starts what is named behind it.
pub(super) const SCRIPT: &[u8] = b"#!";

/// Why a program would not run in an empty image.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// Not a Linux program at all, or a broken one.
    #[error("it is not a 64-bit Linux program")]
    NotElf,
    /// For another processor.
    #[error("it is not made for {expected}")]
    OtherMachine {
        /// What was asked for.
        expected: Architecture,
    },
    /// It needs a loader and libraries, which an empty image does not have.
    #[error("it is not static: it needs `{interpreter}`")]
    Dynamic {
        /// The loader's path.
        interpreter: String,
    },
    /// It cannot be read.
    #[error("it cannot be read")]
    Read(#[from] io::Error),
}

/// Makes sure that the program is static and made for this processor.
pub fn check(program: &mut (impl Read + Seek), architecture: Architecture) -> Result<(), ElfError> {
    let mut header = [0; HEADER_SIZE];
    read_at(program, 0, &mut header)?;
    if header[..6] != [0x7f, b'E', b'L', b'F', CLASS_64, LITTLE_ENDIAN] {
        return Err(ElfError::NotElf);
    }
    let expected = match architecture {
        Architecture::X86_64 => X86_64,
        Architecture::Arm64 => AARCH64,
    };
    if u16_at(&header, 18) != expected {
        return Err(ElfError::OtherMachine {
            expected: architecture,
        });
    }
    let table = u64_at(&header, 32);
    let (size, count) = (u16_at(&header, 54), u16_at(&header, 56));
    if usize::from(size) != PROGRAM_HEADER_SIZE || count == 0 || count > MAX_PROGRAM_HEADERS {
        return Err(ElfError::NotElf);
    }
    for index in 0..u64::from(count) {
        let mut entry = [0; PROGRAM_HEADER_SIZE];
        let position = table
            .checked_add(index * u64::from(size))
            .ok_or(ElfError::NotElf)?;
        read_at(program, position, &mut entry)?;
        if u32_at(&entry, 0) == INTERPRETER {
            let (position, size) = (u64_at(&entry, 8), u64_at(&entry, 32));
            return Err(ElfError::Dynamic {
                interpreter: interpreter(program, position, size)?,
            });
        }
    }
    Ok(())
}

fn interpreter(
    program: &mut (impl Read + Seek),
    position: u64,
    size: u64,
) -> Result<String, ElfError> {
    let mut path = Vec::new();
    program.seek(SeekFrom::Start(position))?;
    program
        .take(size.min(MAX_INTERPRETER))
        .read_to_end(&mut path)?;
    let path = String::from_utf8_lossy(&path);
    Ok(path.trim_end_matches('\0').to_owned())
}

fn read_at(
    program: &mut (impl Read + Seek),
    position: u64,
    buffer: &mut [u8],
) -> Result<(), ElfError> {
    program.seek(SeekFrom::Start(position))?;
    program.read_exact(buffer).map_err(|error| {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            ElfError::NotElf
        } else {
            ElfError::Read(error)
        }
    })
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A header, and program headers of these types.
    fn program(machine: u16, types: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_SIZE];
        bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = u8::try_from(types.len()).unwrap();
        for kind in types {
            let mut entry = [0; PROGRAM_HEADER_SIZE];
            entry[..4].copy_from_slice(&kind.to_le_bytes());
            bytes.extend(entry);
        }
        bytes
    }

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
