//! Small helpers that several crates share. Pure, or a few lines around a file: no async runtime, no
//! network, no AWS.

pub mod architecture;
pub mod cause;
pub mod input;
pub mod pause;
pub mod printable;
pub mod private;
