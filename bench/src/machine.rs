//! Description of the host, and versions of the programs that the project is compared with.

use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::time::Duration;

use crate::process::{command, run};
use crate::report::Machine;

/// Describes the host. Facts that cannot be determined are "unknown".
pub(crate) fn describe() -> Machine {
    let file = |path: &str| read_to_string(path).unwrap_or_default();
    let model = file("/proc/cpuinfo").lines().find_map(|line| {
        Some(
            line.strip_prefix("model name")?
                .split_once(':')?
                .1
                .trim()
                .to_owned(),
        )
    });
    let load = file("/proc/loadavg");
    let load = load.split(' ').next().and_then(|load| load.parse().ok());
    let questions: [(&str, &[&str]); 6] = [
        ("docker", &["version", "--format", "{{.Server.Version}}"]),
        ("nginx", &["-v"]),
        ("skopeo", &["--version"]),
        ("docker-registry", &["--version"]),
        ("valgrind", &["--version"]),
        ("prometheus-blackbox-exporter", &["--version"]),
    ];
    let versions: BTreeMap<String, String> = questions
        .into_iter()
        .filter_map(|(name, arguments)| Some((name.to_owned(), version(name, arguments)?)))
        .collect();
    Machine {
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        model: model.unwrap_or_else(|| "unknown".to_owned()),
        kernel: file("/proc/sys/kernel/osrelease").trim().to_owned(),
        load_before: load.unwrap_or_default(),
        versions,
    }
}

fn version(program: &str, arguments: &[&str]) -> Option<String> {
    // nginx prints its version to stderr.
    let said = run(command(program).args(arguments), Duration::from_secs(10)).ok()?;
    number_in(&format!("{} {}", said.stdout, said.stderr))
}

/// Returns the first word, or end of a word, that starts with a digit and contains a point:
/// `nginx/1.22.1`, `v2.8.2+ds1`.
fn number_in(text: &str) -> Option<String> {
    text.split(|it: char| it.is_whitespace() || it == '/')
        .map(|word| word.trim_start_matches(|it: char| !it.is_ascii_digit()))
        .find(|word| word.contains('.'))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_are_found() {
        let table = [
            ("nginx version: nginx/1.22.1\n", "1.22.1"),
            ("valgrind-3.19.0\n", "3.19.0"),
            (
                "/usr/bin/docker-registry github.com/docker/distribution v2.8.2+ds1\n",
                "2.8.2+ds1",
            ),
        ];
        for (text, expected) in table {
            assert_eq!(super::number_in(text).as_deref(), Some(expected));
        }
    }
}
