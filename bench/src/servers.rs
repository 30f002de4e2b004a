//! Servers under comparison, each pinned to a core, with the kernel's statistics about them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::http::{Connection, free_port};
use crate::process::{Error, Running, command, pinned};

/// Maximum time from start to the first answer.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Unit of processor times in `/proc`: hundredths of a second.
const TICK: f64 = 0.01;

/// Kind of a server, which decides how it is started.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// A program that reads `PORT`.
    Program(PathBuf),
    /// nginx, with its files in this folder.
    Nginx(PathBuf),
}

/// Server under comparison.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

/// Running server.
pub(crate) struct Serving {
    process: Running,
    pub(crate) port: u16,
}

impl Server {
    /// Prepares the start at this port, pinned to a core if one is given.
    pub(crate) fn command(&self, port: u16, core: Option<usize>) -> Result<Command, Error> {
        let program = match &self.kind {
            Kind::Program(path) => path.as_os_str(),
            Kind::Nginx(_) => OsStr::new("nginx"),
        };
        let mut started = match core {
            None => command(program),
            Some(core) => pinned(core, program),
        };
        match &self.kind {
            Kind::Program(_) => {
                started.env("PORT", port.to_string());
            }
            Kind::Nginx(folder) => {
                let file = folder.join(format!("nginx-{port}.conf"));
                std::fs::write(&file, nginx_configuration(folder, port))
                    .map_err(Error::at(file.display()))?;
                started.args(["-e", "/dev/null", "-p"]).arg(folder);
                started.arg("-c").arg(&file);
            }
        }
        Ok(started)
    }

    /// Starts it and waits for its first answer.
    pub(crate) fn start(&self, core: usize) -> Result<Serving, Error> {
        let port = free_port()?;
        let process = Running::start(&mut self.command(port, Some(core))?)?;
        let serving = Serving { process, port };
        let body = Connection::open(port, START_LIMIT)?.get("/now")?;
        // All servers must do the same work: a response of another length would be another test.
        if !(60..200).contains(&body.len()) {
            let reason = format!("unexpected answer of {}: {body}", self.name);
            return Err(Error::Failed(reason));
        }
        Ok(serving)
    }
}

impl Serving {
    /// Returns the server's processes: nginx has a worker process in addition to the master.
    fn processes(&self) -> Vec<u32> {
        let first = self.process.id();
        let children = format!("/proc/{first}/task/{first}/children");
        let children = std::fs::read_to_string(children).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|id| id.parse().ok());
        std::iter::once(first).chain(children).collect()
    }

    /// Returns resident memory in bytes.
    pub(crate) fn memory(&self) -> Result<f64, Error> {
        let mut sum = 0.0;
        for process in self.processes() {
            sum += resident(&read(&format!("/proc/{process}/status"))?);
        }
        Ok(sum)
    }

    /// Returns processor time in the program and in the kernel since the start, in seconds.
    pub(crate) fn times(&self) -> Result<(f64, f64), Error> {
        let mut sum = (0.0, 0.0);
        for process in self.processes() {
            let (user, system) = times(&read(&format!("/proc/{process}/stat"))?);
            sum = (sum.0 + user, sum.1 + system);
        }
        Ok(sum)
    }
}

pub(crate) fn read(path: &str) -> Result<String, Error> {
    std::fs::read_to_string(Path::new(path)).map_err(Error::at(path))
}

/// Parses resident memory in `/proc/PID/status`, in bytes.
pub(crate) fn resident(status: &str) -> f64 {
    memory(status, "VmRSS:").unwrap_or_default()
}

/// Parses a field of `/proc/PID/status`, in bytes.
fn memory(status: &str, field: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kilobytes: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}

/// Returns the largest amount of memory that this process has used, in bytes.
pub(crate) fn peak_memory() -> Result<f64, Error> {
    let peak = memory(&read("/proc/self/status")?, "VmHWM:");
    peak.ok_or_else(|| Error::Failed("VmHWM is missing".to_owned()))
}

/// Parses user and system time in `/proc/PID/stat`, whose second field, the program's name, may
/// contain anything.
pub(crate) fn times(stat: &str) -> (f64, f64) {
    // Fields after the name start with the third of `proc(5)`; user time is the fourteenth, that of
    // children the sixteenth.
    times_from(stat, 11)
}

fn times_from(stat: &str, first: usize) -> (f64, f64) {
    let after_name = stat.rsplit_once(')').map_or(stat, |(_, rest)| rest);
    let mut fields = after_name.split_whitespace().skip(first);
    let mut next = || fields.next().and_then(|it| it.parse::<f64>().ok());
    let (user, system) = (next().unwrap_or_default(), next().unwrap_or_default());
    (user * TICK, system * TICK)
}

/// Returns the processor time of all programs that this one has waited for, in seconds.
pub(crate) fn children_times() -> Result<f64, Error> {
    let (user, system) = times_from(&read("/proc/self/stat")?, 13);
    Ok(user + system)
}

/// Returns a configuration with one worker, no logs and a literal response, which is the least work
/// nginx can have.
fn nginx_configuration(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        r#"daemon off;
worker_processes 1;
pid {folder}/nginx-{port}.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_timeout 75s;
    keepalive_requests 1000000000;
    client_header_timeout 75s;
    server_tokens off;
    tcp_nodelay on;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {port};
        location = /now {{
            default_type application/json;
            add_header Cache-Control no-store;
            return 200 '{{"now":"2026-11-22T10:04:05.123456Z","instance":"9f0c2b7e41d85a36","version":"0.1.0"}}';
        }}
    }}
}}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_counts() {
        assert!((resident("Name:\tapp\nVmRSS:\t    3072 kB\n") - 3_145_728.0).abs() < 0.5);
        let stat = "7 (a) b) S 1 7 7 0 -1 4 1 2 3 4 250 125 0 0 20 0";
        assert_eq!(times(stat), (2.5, 1.25));
    }
}
