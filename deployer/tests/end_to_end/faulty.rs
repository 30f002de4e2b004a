//! The service with a fault: a small project of its own, in `faulty/`.

use crate::copy::Copy;
use crate::run::{Finished, Running, Surroundings};

pub(crate) const SETTINGS: &str = "deployer/tests/end_to_end/faulty/deployer.toml";
const DOCKERFILE: &str = "deployer/tests/end_to_end/faulty/Dockerfile";

/// Deploys it.
pub(crate) struct Faulty<'a> {
    copy: &'a Copy,
    surroundings: &'a Surroundings,
}

impl<'a> Faulty<'a> {
    pub(crate) fn new(copy: &'a Copy, surroundings: &'a Surroundings) -> Self {
        Self { copy, surroundings }
    }

    fn set(&self, fault: &str) {
        let text = self.copy.read(DOCKERFILE);
        let line = text.lines().find(|line| line.starts_with("ENV FAULT="));
        let line = line.expect("the line that names the fault").to_owned();
        let changed = text.replace(&line, &format!("ENV FAULT={fault}"));
        self.copy.write(DOCKERFILE, &changed);
    }

    /// Deploys a version with this fault.
    pub(crate) fn deploy(&self, fault: &str, more: &[&str]) -> Finished {
        self.deploy_with(SETTINGS, fault, more)
    }

    /// The same with settings of another file.
    pub(crate) fn deploy_with(&self, settings: &str, fault: &str, more: &[&str]) -> Finished {
        self.set(fault);
        let mut arguments = vec!["up", "--local", "--config", settings];
        arguments.extend(more);
        self.surroundings.deployer(&arguments)
    }

    /// Begins to deploy a version with this fault.
    pub(crate) fn start(&self, fault: &str, more: &[&str]) -> Running {
        self.set(fault);
        let mut arguments = vec!["up", "--local", "--config", SETTINGS];
        arguments.extend(more);
        self.surroundings.start(&arguments)
    }
}
