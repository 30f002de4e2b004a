//! Tests of the service from outside: over sockets, and as a program.

mod connections;
mod http;
mod metadata;
mod program;
mod support;
