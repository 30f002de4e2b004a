//! Makes a container image of a Rust program and puts it into a registry, without Docker: [`cargo`] compiles the program, [`dockerfile`] says what the
//! image is, [`oci`] packs it (layers by [`layer`], files by `context`), [`push`] sends what the registry lacks.
//!
//! The same program and the same Dockerfile give the same digest, on any machine and in any folder; see `docs/image.md`. [`process`] is the only file that starts programs.

pub mod archive;
pub mod bill;
pub mod cache;
pub mod cargo;
mod context;
pub mod docker;
pub mod dockerfile;
pub mod elf;
mod ignore;
pub mod inspect;
pub mod layer;
pub mod notices;
pub mod oci;
mod pack_error;
mod parts;
pub mod provenance;
pub mod push;
pub mod unpack;

pub use cargo::CompileError;
pub use dockerfile::DockerfileError;
pub use ignore::ignore_file;
pub use pack_error::PackError;
pub use push::PushError;

pub use support::architecture::{Architecture, UnknownArchitecture};
