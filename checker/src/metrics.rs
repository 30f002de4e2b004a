//! Prometheus metrics in the OpenMetrics text format, and the HTTP server that exposes them.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clock::units::{Nanoseconds, milliseconds};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::series::{Finding, State, Summary};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Timeout for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum number of concurrent connections. Further ones wait.
const MOST_CONNECTIONS: usize = 32;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Latest results of all targets.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Results by target; `None` before the first check.
    rows: Mutex<Vec<Option<Row>>>,
}

/// Latest result of one target.
#[derive(Debug, Clone)]
struct Row {
    /// End of the check, nanoseconds since 1970 by the local clock.
    ended: Nanoseconds,
    finding: Finding,
    summary: Summary,
}

impl Metrics {
    pub(crate) fn update(
        &self,
        target: usize,
        ended: Nanoseconds,
        finding: &Finding,
        summary: Summary,
    ) {
        // A poisoned lock is usable, because rows are only replaced as a whole.
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        // The first checks of the targets end in any order.
        if rows.len() <= target {
            rows.resize(target + 1, None);
        }
        if let Some(row) = rows.get_mut(target) {
            *row = Some(Row {
                ended,
                finding: finding.clone(),
                summary,
            });
        }
    }

    pub(crate) fn forget(&self, target: usize) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(row) = rows.get_mut(target) {
            *row = None;
        }
    }

    fn rows(&self) -> Vec<Row> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        // Cloned, so that encoding does not hold the lock that checks need.
        rows.iter().flatten().cloned().collect()
    }
}

/// Label names and values.
type Labels = Vec<(&'static str, String)>;

/// Returns a target's labels and additional ones. Values are external, and the library does not
/// escape them.
fn labels<const N: usize>(row: &Row, more: [(&'static str, &str); N]) -> Labels {
    let target = row.finding.report.name();
    std::iter::once(("target", target.as_str()))
        .chain(more)
        .map(|(name, value)| (name, escaped(value)))
        .collect()
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// Writer of metric families.
struct Writer<'a, 'e> {
    rows: &'a [Row],
    encoder: &'a mut DescriptorEncoder<'e>,
}

impl Writer<'_, '_> {
    fn metric(
        &mut self,
        (name, help, kind): (&str, &str, MetricType),
        mut each: impl FnMut(&Row, &mut MetricEncoder) -> fmt::Result,
    ) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, kind)?;
        self.rows.iter().try_for_each(|row| each(row, &mut metric))
    }

    /// Writes a gauge with one value per target.
    fn gauge<V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        value: impl Fn(&Row) -> Option<V>,
    ) -> fmt::Result {
        self.metric((name, help, MetricType::Gauge), |row, metric| {
            let Some(value) = value(row) else {
                return Ok(());
            };
            let labels = labels(row, []);
            metric.encode_family(&labels)?.encode_gauge(&value)
        })
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Fn(&Row) -> u64) -> fmt::Result {
        self.metric((name, help, MetricType::Counter), |row, metric| {
            let labels = labels(row, []);
            count(metric, &labels, value(row))
        })
    }
}

fn count(metric: &mut MetricEncoder, labels: &Labels, value: u64) -> fmt::Result {
    metric
        .encode_family(labels)?
        .encode_counter::<Labels, u64, u64>(&value, None)
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let rows = self.rows();
        let mut out = Writer {
            rows: &rows,
            encoder: &mut encoder,
        };
        out.gauge(
            "checker_up",
            "1 if the last check was answered as expected, 0 if not; absent if it could not tell",
            |row| match row.finding.report.availability() {
                clock::Availability::Up => Some(1_i64),
                clock::Availability::Down => Some(0),
                // Prometheus marks an absent series as stale instead of repeating its last value.
                clock::Availability::Unknown => None,
            },
        )?;
        out.metric(
            (
                "checker_state",
                "1 for the state that holds",
                MetricType::Gauge,
            ),
            |row, metric| {
                // One series per state with 0 or 1, so that queries need no numbers for states.
                State::ALL.into_iter().try_for_each(|state| {
                    let labels = labels(row, [("state", state.word())]);
                    let holds = i64::from(state == row.finding.state);
                    metric.encode_family(&labels)?.encode_gauge(&holds)
                })
            },
        )?;
        clocks(&mut out)?;
        out.gauge(
            "checker_status_code",
            "HTTP status code of the last answer",
            |row| row.finding.report.status.map(i64::from),
        )?;
        out.gauge(
            "checker_certificate_days",
            "Days until the service's certificate expires, by the local clock",
            |row| row.finding.report.certificate.as_ref().map(|it| it.days),
        )?;
        out.gauge(
            "checker_last_check_timestamp_seconds",
            "When the last check ended, by the local clock: figures that do not change any more are no news",
            |row| Some(seconds(milliseconds(row.ended))),
        )?;
        out.gauge(
            "checker_latency_seconds",
            "From sending to the whole answer on a used connection, median of the last check",
            |row| row.finding.report.latency_ms.map(seconds),
        )?;
        out.gauge(
            "checker_connect_latency_seconds",
            "The same with connecting",
            |row| row.finding.report.connect_latency_ms.map(seconds),
        )?;
        out.gauge(
            "checker_late_seconds",
            "From the moment at which the last check was due to its begin",
            |row| Some(seconds(row.finding.tick.late_ms)),
        )?;
        out.gauge(
            "checker_downtime_proven_seconds",
            "Time in outages, at least",
            |row| Some(seconds(row.summary.downtime.proven_ms)),
        )?;
        out.gauge(
            "checker_downtime_possible_seconds",
            "Time in outages, at most",
            |row| Some(seconds(row.summary.downtime.possible_ms)),
        )?;
        counters(&mut out)
    }
}

/// Writes the metrics of each instance.
fn clocks(out: &mut Writer) -> fmt::Result {
    type Value = fn(&clock::InstanceReport) -> Option<f64>;
    let values: [(&str, &str, Value); 4] = [
        (
            "checker_offset_seconds",
            "By how much the instance's clock is ahead, best estimate",
            |one| one.offset_ms,
        ),
        (
            "checker_offset_uncertainty_seconds",
            "By how much the estimate may be wrong",
            |one| one.uncertainty_ms,
        ),
        (
            "checker_offset_lower_seconds",
            "By how much it is ahead at least",
            |one| one.lo_ms,
        ),
        (
            "checker_offset_upper_seconds",
            "By how much it is ahead at most",
            |one| one.hi_ms,
        ),
    ];
    for (name, help, value) in values {
        out.metric((name, help, MetricType::Gauge), |row, metric| {
            row.finding.report.instances.iter().try_for_each(|one| {
                let Some(value) = value(one) else {
                    return Ok(());
                };
                let instance = one.label().unwrap_or_default();
                // Not `instance`, which Prometheus sets to the scraped address.
                let labels = labels(row, [("instance_id", instance.as_str())]);
                metric.encode_family(&labels)?.encode_gauge(&seconds(value))
            })
        })?;
    }
    out.metric(
        (
            "checker_drift_ppm",
            "How fast the instance's clock gains on the local one, at least and at most",
            MetricType::Gauge,
        ),
        |row, metric| {
            row.finding.trends.iter().try_for_each(|trend| {
                let instance = trend.instance.as_deref().unwrap_or_default();
                [("lower", trend.lo_ppm), ("upper", trend.hi_ppm)]
                    .into_iter()
                    .try_for_each(|(bound, value)| {
                        let labels = labels(row, [("instance_id", instance), ("bound", bound)]);
                        metric.encode_family(&labels)?.encode_gauge(&value)
                    })
            })
        },
    )
}

fn counters(out: &mut Writer) -> fmt::Result {
    out.metric(
        (
            // The encoder appends `_total`, as OpenMetrics demands for counters.
            "checker_checks",
            "Checks so far, by verdict",
            MetricType::Counter,
        ),
        |row, metric| {
            let summary = &row.summary;
            [
                ("ok", summary.ok),
                ("down", summary.down),
                ("skewed", summary.skewed),
                ("indeterminate", summary.indeterminate),
            ]
            .into_iter()
            .try_for_each(|(verdict, value)| {
                let labels = labels(row, [("verdict", verdict)]);
                count(metric, &labels, value)
            })
        },
    )?;
    out.counter("checker_outages", "Outages so far", |row| {
        row.summary.outages
    })?;
    out.counter(
        "checker_missed_ticks",
        "Moments for a check that passed during another one",
        |row| row.summary.missed_ticks,
    )
}

fn seconds(milliseconds: f64) -> f64 {
    milliseconds / 1000.0
}

/// Encodes all metrics as text.
fn exposition(registry: &Registry) -> Result<String, fmt::Error> {
    let mut text = String::new();
    encode(&mut text, registry)?;
    Ok(text)
}

/// Serves the metrics until the program ends.
pub(crate) async fn serve(address: SocketAddr, metrics: Arc<Metrics>) -> io::Result<()> {
    // Bound before the first check, so that an occupied port is an error at start-up.
    let listener = TcpListener::bind(address).await?;
    let mut registry = Registry::default();
    registry.register_collector(Box::new(metrics));
    tokio::spawn(accept(listener, Arc::new(registry)));
    Ok(())
}

async fn accept(listener: TcpListener, registry: Arc<Registry>) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            // `accept` fails repeatedly while file descriptors are exhausted; without a pause this
            // loop would spin.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let registry = Arc::clone(&registry);
        tokio::spawn(async move {
            connection(stream, &registry).await;
            // Moves the permit into the task, which keeps its place until the connection ends.
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, registry: &Registry) {
    let answer = service_fn(async |request: Request<Incoming>| {
        Ok::<_, Infallible>(answer(request.method(), request.uri().path(), registry))
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(16 * 1024)
        // One response per connection, so that idle clients do not occupy the few places.
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer);
    // Limits the whole exchange, so that a slow reader does not occupy a place forever.
    let _ = tokio::time::timeout(HEAD_TIMEOUT * 3, served).await;
}

fn answer(method: &Method, path: &str, registry: &Registry) -> Response<Full<Bytes>> {
    let text = |status, content_type: &'static str, body: String| {
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        let content_type = HeaderValue::from_static(content_type);
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
    };
    let plain = |status, body: &str| text(status, "text/plain; charset=utf-8", body.to_owned());
    if path != "/metrics" {
        return plain(StatusCode::NOT_FOUND, "not found: ask for /metrics\n");
    }
    if method != Method::GET && method != Method::HEAD {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
        let allowed = HeaderValue::from_static("GET, HEAD");
        refused.headers_mut().insert(ALLOW, allowed);
        return refused;
    }
    match exposition(registry) {
        Ok(body) => text(StatusCode::OK, OPENMETRICS, body),
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "cannot write figures\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{record, report};
    use crate::series::{Hysteresis, Tick, Track};
    use clock::Verdict;

    #[test]
    fn the_figures_are_written_for_each_target_and_instance() {
        let metrics = Metrics::default();
        for (target, url) in ["http://a.test/now", "http://b.test/\"x\\"]
            .iter()
            .enumerate()
        {
            let mut track = Track::new(Hysteresis::default());
            let mut known = report(Verdict::Ok);
            known.url = (*url).to_owned();
            let reading = clock::Reading {
                wall: 0,
                monotonic: 0,
                suspended: 0,
            };
            let record = record(reading);
            let finding = track.add(&record, known, Tick::default());
            metrics.update(target, 1_795_305_600_123_000_000, &finding, track.summary());
        }
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Arc::new(metrics)));
        insta::assert_snapshot!(exposition(&registry).unwrap());
    }
}
