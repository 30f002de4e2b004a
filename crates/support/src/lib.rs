//! Small helpers that several crates share. They are pure or access a single file: no async
//! runtime, no network, no AWS.

pub mod architecture;
pub mod cause;
pub mod certificates;
pub mod input;
pub mod pause;
pub mod printable;
pub mod private;
