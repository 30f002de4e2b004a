//! Every offset, resolution and delay against real servers over sockets: no verdict is false, and none is undecided without need.

use std::time::Duration;

use crate::support::{Server, clock, now_json, ok, show};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clock::{Settings, Verdict};
use futures_util::future::join_all;
use probe::{Target, check};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const OFFSETS: [i64; 11] = [
    0, 500, -500, 900, -900, 1_100, -1_100, 2_000, -2_000, 3_600_000, -3_600_000,
];
const LIMIT: f64 = 1_000.0;

/// Milliseconds on the way there and on the way back.
const DELAYS: [(u64, u64); 10] = [
    (0, 0),
    (25, 25),
    (50, 0),
    (0, 50),
    (200, 200),
    (400, 0),
    (0, 400),
    (1_250, 1_250),
    (2_500, 0),
    (0, 2_500),
];

#[derive(Debug, Clone, Copy)]
struct Cell {
    offset: i64,
    format: SecondsFormat,
    delay: (u64, u64),
    /// Microseconds.
    tick: i64,
    /// Whether it says that its answers are from a cache, as Varnish does of all.
    aged: bool,
}

impl Cell {
    fn all() -> Vec<Self> {
        let formats = [
            SecondsFormat::Micros,
            SecondsFormat::Millis,
            SecondsFormat::Secs,
        ];
        let mut cells = Vec::new();
        for offset in OFFSETS {
            for format in formats {
                for delay in DELAYS {
                    cells.push(Self {
                        offset,
                        format,
                        delay,
                        tick: 1,
                        aged: false,
                    });
                }
            }
        }
        // Ticks behind six digits, where a verdict is most easily wrong.
        for tick in [4_000, 10_000, 15_625, 100_000] {
            for offset in [0, 900, -900, 970, -970, 1_005, -993, 1_030, 1_080] {
                for delay in [(0, 0), (25, 25)] {
                    cells.push(Self {
                        offset,
                        format: SecondsFormat::Micros,
                        delay,
                        tick,
                        aged: true,
                    });
                }
            }
        }
        // A clock that has started without a battery.
        cells.push(Self {
            offset: -Utc::now().timestamp_millis() + 5_500,
            format: SecondsFormat::Micros,
            delay: (0, 0),
            tick: 1,
            aged: false,
        });
        cells
    }

    /// A service like this, as long as the test runs.
    async fn serve(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/now", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(self.answer(stream));
            }
        });
        url
    }

    async fn answer(self, mut stream: TcpStream) {
        let (there, back) = self.delay;
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            let head = String::from_utf8(head).unwrap();
            let nonce = head.split_once("nonce=").unwrap().1;
            let nonce = nonce.split(' ').next().unwrap();
            tokio::time::sleep(Duration::from_millis(there)).await;
            let now: DateTime<Utc> = Utc::now() + TimeDelta::milliseconds(self.offset);
            let shown = now.timestamp_micros().div_euclid(self.tick) * self.tick;
            let now = DateTime::from_timestamp_micros(shown).unwrap();
            tokio::time::sleep(Duration::from_millis(back)).await;
            let now = now.to_rfc3339_opts(self.format, true);
            let body = format!(r#"{{"now":"{now}","instance":"a","nonce":"{nonce}"}}"#);
            let length = body.len();
            let age = if self.aged { "age: 0\r\n" } else { "" };
            let answer = format!("HTTP/1.1 200 OK\r\n{age}content-length: {length}\r\n\r\n{body}");
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_verdict_is_false_whatever_offset_resolution_and_delay() {
    let settings = Settings {
        timeout: Duration::from_secs(20),
        ..Settings::default()
    };
    let checks = Cell::all().into_iter().map(async |cell| {
        let target = Target::new(&cell.serve().await, None).unwrap();
        (cell, check(&target, &settings).await)
    });
    let results = join_all(checks).await;
    let mut undecided = 0;
    let mut needless = 0;
    for (cell, report) in &results {
        let instance = &report.instances[0];
        let (lo, hi) = (instance.lo_ms.unwrap(), instance.hi_ms.unwrap());
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let offset = cell.offset as f64;
        // The report is cut to microseconds.
        assert!(
            lo - 0.002 <= offset && offset <= hi + 0.002,
            "{cell:?}: {report:?}"
        );
        match report.verdict {
            Verdict::Ok => assert!(offset.abs() <= LIMIT, "{cell:?}: {report:?}"),
            Verdict::Skewed => assert!(offset.abs() > LIMIT, "{cell:?}: {report:?}"),
            Verdict::Down => panic!("{cell:?}: {report:?}"),
            Verdict::Indeterminate { .. } => {
                undecided += 1;
                let straddles = |limit: f64| lo <= limit && limit <= hi;
                assert!(
                    straddles(LIMIT) || straddles(-LIMIT),
                    "{cell:?}: {report:?}"
                );
                // An answer within a twentieth of a second tells what is nearer than a tenth, unless this machine is busy.
                let (there, back) = cell.delay;
                needless += usize::from(there + back <= 50 && cell.tick == 1);
            }
        }
    }
    // Slow lines leave some in doubt, and only those.
    assert!(
        undecided > 0 && undecided < results.len() / 2 && needless < results.len() / 8,
        "{undecided} {needless}"
    );
    show(&format!(
        "{} servers over sockets: no verdict is false, {undecided} undecided\n",
        results.len()
    ));
}

/// Two clocks that agree in the first 128 characters of their names.
#[tokio::test]
async fn instances_are_told_apart_by_the_whole_name() {
    let rest = "c".repeat(200);
    for (offset, verdict) in [(500, Verdict::Ok), (5_000, Verdict::Skewed)] {
        let rest = rest.clone();
        let server = Server::start(move |request| {
            let number = i64::try_from(request.number % 2).unwrap();
            let name = format!("arn:aws:ecs:eu:1:task/{rest}/{number}/{rest}");
            ok(&now_json(
                clock(offset * number),
                &name,
                "1",
                &request.nonce,
            ))
        })
        .await;
        for _ in 0..5 {
            let report = check(&server.target(), &Settings::default()).await;
            assert_eq!(report.verdict, verdict, "{report:?}");
            assert_eq!(report.instances.len(), 2, "{report:?}");
        }
    }
}
