//! Tests of the service from outside: over sockets, and as a program.

mod access_log;
mod browser;
mod clock;
mod connections;
mod http;
mod metadata;
mod page;
mod program;
mod running;
mod support;
