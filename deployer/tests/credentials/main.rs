//! Credentials as the program finds them: each kind of profile, through the code that connects to AWS, against endpoints on this
//! machine. The program is started as a user starts it, so that its environment and its files are the test's alone.

#![expect(
    clippy::disallowed_methods,
    reason = "a test runs programs as a user does"
)]

mod endpoint;
mod failures;
mod home;
mod kinds;
mod once;
mod precedence;
mod profiles;
mod trust;
