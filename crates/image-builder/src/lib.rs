//! Builds a container image of a Rust program and pushes it to a registry, without Docker.
//!
//! [`cargo`] compiles the program, [`dockerfile`] evaluates the Dockerfile, and [`base`] fetches
//! base images. [`oci`] packs the image (layers by [`layer`], files by `context`), and [`push`]
//! uploads what the registry lacks.
//!
//! The same program and the same Dockerfile yield the same digest, on any machine and in any
//! folder; see `docs/image.md`.

pub mod archive;
pub mod attestation;
pub mod base;
mod blob;
pub mod cache;
pub mod cargo;
pub mod checkout;
pub mod compare;
mod compression;
mod context;
mod digest;
pub mod docker;
pub mod dockerfile;
pub mod elf;
mod hint;
mod ignore;
pub mod image;
pub mod inspect;
pub mod layer;
pub mod notices;
pub mod oci;
mod pack_error;
mod paths;
pub mod provenance;
pub mod push;
mod reference;
mod root;
pub mod sbom;
pub mod slsa;
pub mod submodules;
pub mod unpack;

pub use cargo::CompileError;
pub use context::{context_paths, takes_folder};
pub use dockerfile::DockerfileError;
pub use hint::Hint;
pub use ignore::ignore_file;
pub use pack_error::PackError;
pub use push::PushError;

pub use support::architecture::{Architecture, UnknownArchitecture};

#[cfg(test)]
mod testing;
