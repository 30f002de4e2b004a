//! The reader of services' answers: whatever the bytes, it ends with a time and its resolution, or a message. A time that it takes
//! is a plausible one, is read the same when it is written down exactly, and what else it took is safe for a terminal.
#![no_main]

use arbitrary::Arbitrary;
use clock::{Answer, Field, Timestamp};
use chrono::{DateTime, SecondsFormat, TimeDelta};
use libfuzzer_sys::fuzz_target;

const SECOND: i128 = 1_000_000_000;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    field: Option<&'a str>,
    body: &'a [u8],
}

fuzz_target!(|input: Input| {
    let field = match input.field.map(str::parse::<Field>) {
        None => Field::default(),
        Some(Ok(field)) => {
            assert_eq!(field.to_string().parse::<Field>().as_ref(), Ok(&field));
            field
        }
        Some(Err(error)) => {
            assert!(!error.to_string().is_empty());
            Field::default()
        }
    };
    match Answer::parse(input.body, &field) {
        Ok(answer) => {
            timestamp(answer.now);
            for name in [&answer.instance, &answer.version].into_iter().flatten() {
                assert!(!name.is_empty() && name.chars().count() <= 128);
                assert!(!name.chars().any(char::is_control), "{name:?}");
            }
            let line = serde_json::to_string(&answer).unwrap();
            assert_eq!(serde_json::from_str::<Answer>(&line).unwrap(), answer);
        }
        Err(error) => {
            let message = error.to_string();
            assert!(
                !message.is_empty() && message.chars().count() < 400,
                "{message}"
            );
            assert!(!message.chars().any(char::is_control), "{message:?}");
        }
    }
    if let Ok(text) = std::str::from_utf8(input.body) {
        if let Ok(date) = Timestamp::parse_date_header(text) {
            assert_eq!(date.resolution, SECOND);
            timestamp(date);
        }
    }
});

fn timestamp(read: Timestamp) {
    let seconds = i64::try_from(read.nanoseconds.div_euclid(SECOND)).unwrap();
    let nanoseconds = u32::try_from(read.nanoseconds.rem_euclid(SECOND)).unwrap();
    let time = DateTime::from_timestamp(seconds, nanoseconds).unwrap();
    let year: i32 = time.format("%Y").to_string().parse().unwrap();
    assert!((2000..=2200).contains(&year), "{time}");
    let mut resolution = read.resolution;
    assert!((1..=SECOND).contains(&resolution));
    while resolution % 10 == 0 {
        resolution /= 10;
    }
    assert_eq!(resolution, 1, "{}", read.resolution);
    // Exactly, in a zone of its own.
    let there = time + TimeDelta::hours(2);
    let text = there.to_rfc3339_opts(SecondsFormat::Nanos, true);
    let text = text.replace('Z', "+02:00");
    if !text.starts_with("2201") {
        let again = Timestamp::parse(&text).unwrap();
        assert_eq!(again.nanoseconds, read.nanoseconds, "{text}");
    }
}
