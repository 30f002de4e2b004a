//! Load generator wrk, pinned to the client's core.

use std::time::Duration;

use crate::process::{Error, pinned, run};
use crate::setting::Setting;

/// Result of wrk.
#[derive(Debug, PartialEq)]
pub(crate) struct Wrk {
    pub(crate) requests: f64,
    /// Requests per second.
    pub(crate) throughput: f64,
    /// Latency in microseconds that half of the requests, and 99 of 100, do not exceed.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Loads a URL on persistent connections.
pub(crate) fn load(
    setting: &Setting,
    connections: &str,
    seconds: u64,
    url: &str,
) -> Result<Wrk, Error> {
    let mut wrk = pinned(setting.client_core, "wrk");
    wrk.args(["--threads", "1", "--connections", connections, "--latency"]);
    wrk.args(["--duration", &format!("{seconds}s"), url]);
    let output = run(&mut wrk, Duration::from_secs(seconds + 60))?.stdout;
    Wrk::parse(&output).ok_or_else(|| Error::Failed(format!("unexpected output of wrk: {output}")))
}

impl Wrk {
    /// Parses the output. Returns nothing if requests failed, because error responses are fast.
    fn parse(text: &str) -> Option<Self> {
        if text.contains("Non-2xx") || text.contains("Socket errors") {
            return None;
        }
        let after = |label: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| Some(line.trim().strip_prefix(label)?.trim()))
        };
        let requests = text
            .lines()
            .find_map(|line| line.split_once(" requests in "));
        Some(Self {
            requests: requests?.0.trim().parse().ok()?,
            throughput: after("Requests/sec:")?.parse().ok()?,
            p50: microseconds(after("50%")?)?,
            p99: microseconds(after("99%")?)?,
        })
    }
}

fn microseconds(text: &str) -> Option<f64> {
    let units = [("us", 1.0), ("ms", 1e3), ("s", 1e6)];
    units
        .into_iter()
        .find_map(|(unit, factor)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
Running 3s test @ http://127.0.0.1:8080/now
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     0.86ms  210.00us   3.02ms   75.00%
    Req/Sec    74.01k     2.00k   78.00k    66.67%
  Latency Distribution
     50%  812.00us
     75%    1.00ms
     90%    1.20ms
     99%    1.51ms
  221052 requests in 3.00s, 45.12MB read
Requests/sec:  73684.12
Transfer/sec:     15.04MB
";

    #[test]
    fn output_is_parsed() {
        let expected = Wrk {
            requests: 221_052.0,
            throughput: 73_684.12,
            p50: 812.0,
            p99: 1510.0,
        };
        assert_eq!(Wrk::parse(OUTPUT), Some(expected));
    }

    #[test]
    fn failed_requests_are_no_result() {
        let failed = format!("{OUTPUT}  Non-2xx or 3xx responses: 3\n");
        assert_eq!(Wrk::parse(&failed), None);
        assert_eq!(Wrk::parse(""), None);
    }
}
