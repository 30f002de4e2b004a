//! Puts a containerised Rust service on ECS Fargate, and makes sure that it works.
pub mod image;
pub mod process;
