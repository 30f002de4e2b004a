//! Local registry. Deleted with its content on drop.

use std::path::Path;
use std::time::Duration;

use crate::http::{Connection, free_port};
use crate::process::{Error, Running, command};

/// Maximum time until it answers.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Process of Debian's docker-registry.
pub(crate) struct Registry {
    _process: Running,
    /// Address as `HOST:PORT`. The host is `localhost`, which Docker accepts without TLS
    /// everywhere.
    pub(crate) address: String,
}

impl Registry {
    /// Starts it, with its content in this folder.
    pub(crate) fn start(folder: &Path) -> Result<Self, Error> {
        let port = free_port()?;
        let file = folder.join("registry.json");
        let configuration = serde_json::json!({
            "version": "0.1",
            "log": { "level": "error", "accesslog": { "disabled": true } },
            "storage": { "filesystem": { "rootdirectory": folder.join("registry") } },
            "http": { "addr": format!("127.0.0.1:{port}") },
        });
        // The registry reads YAML, of which JSON is a subset.
        std::fs::write(&file, configuration.to_string()).map_err(Error::at(file.display()))?;
        let mut registry = command("docker-registry");
        let process = Running::start(registry.arg("serve").arg(&file))?;
        Connection::open(port, START_LIMIT)?.get("/v2/")?;
        Ok(Self {
            _process: process,
            address: format!("localhost:{port}"),
        })
    }
}
