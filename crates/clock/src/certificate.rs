//! Expiry of a certificate, the only X.509 field that is parsed. Pure.

use chrono::NaiveDateTime;

const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Returns the end of a certificate's validity, seconds since 1970, from its DER encoding.
pub fn certificate_expiry(der: &[u8]) -> Option<i64> {
    // Certificate: { { version (optional), serial number, signature, issuer, validity, … }, … }
    let (_, certificate, _) = element(der)?;
    let (_, mut fields, _) = element(certificate)?;
    // Version 1 certificates omit the field, because DER omits default values.
    if fields.first() == Some(&VERSION) {
        fields = element(fields)?.2;
    }
    for _ in ["serial number", "signature", "issuer"] {
        fields = element(fields)?.2;
    }
    let (_, validity, _) = element(fields)?;
    let (_, _, not_after) = element(validity)?;
    let (tag, text, _) = element(not_after)?;
    let text = std::str::from_utf8(text).ok()?;
    let text = match tag {
        // RFC 5280: a two-digit year stands for 1950 to 2049.
        UTC_TIME if text.get(..2)? < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = NaiveDateTime::parse_from_str(&text, "%Y%m%d%H%M%SZ").ok()?;
    Some(time.and_utc().timestamp())
}

/// Splits off a DER element: its tag, its content, and the rest.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = if short < 0x80 {
        (usize::from(short), rest)
    } else {
        let digits = usize::from(short & 0x7f);
        // Three length bytes allow 16 MiB, far more than a certificate needs. Zero means indefinite
        // length, which DER forbids.
        if !(1..=3).contains(&digits) {
            return None;
        }
        let (length, rest) = rest.split_at_checked(digits)?;
        let length = length
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        (length, rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut element = vec![tag];
        match u8::try_from(content.len()) {
            Ok(length) if length < 0x80 => element.push(length),
            Ok(length) => element.extend([0x81, length]),
            Err(_) => {
                element.push(0x82);
                element.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
            }
        }
        element.extend(content);
        element
    }

    fn certificate(version: bool, tag: u8, not_after: &str) -> Vec<u8> {
        let mut fields = if version {
            der(VERSION, &der(2, &[2]))
        } else {
            Vec::new()
        };
        fields.extend(der(2, &[1; 20]));
        fields.extend(der(0x30, &[5, 0]));
        // Longer than what one byte counts.
        fields.extend(der(0x30, &[0; 300]));
        let validity = [
            der(UTC_TIME, b"200101000000Z"),
            der(tag, not_after.as_bytes()),
        ];
        fields.extend(der(0x30, &validity.concat()));
        fields.extend(der(0x30, &[0; 200]));
        der(0x30, &[der(0x30, &fields), der(0x30, &[])].concat())
    }

    #[test]
    fn the_end_of_the_validity_is_read() {
        for (tag, text, expected) in [
            (UTC_TIME, "261128061500Z", Some("2026-11-28T06:15:00Z")),
            (UTC_TIME, "491231235959Z", Some("2049-12-31T23:59:59Z")),
            (UTC_TIME, "500101000000Z", Some("1950-01-01T00:00:00Z")),
            (
                GENERALIZED_TIME,
                "20500101000000Z",
                Some("2050-01-01T00:00:00Z"),
            ),
            (
                GENERALIZED_TIME,
                "99991231235959Z",
                Some("9999-12-31T23:59:59Z"),
            ),
            (GENERALIZED_TIME, "20500101000000+0100", None),
            (UTC_TIME, "", None),
            (0x13, "261128061500Z", None),
        ] {
            let expected = expected.map(|it| {
                it.parse::<chrono::DateTime<chrono::Utc>>()
                    .unwrap()
                    .timestamp()
            });
            for version in [true, false] {
                assert_eq!(
                    certificate_expiry(&certificate(version, tag, text)),
                    expected,
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn what_is_none_has_no_end() {
        let whole = certificate(true, UTC_TIME, "261128061500Z");
        for length in 0..whole.len() {
            assert_eq!(certificate_expiry(&whole[..length]), None, "{length}");
        }
        for place in 0..whole.len() {
            let mut broken = whole.clone();
            for byte in [0, 0x7f, 0x80, 0x84, 0xff] {
                broken[place] = byte;
                let _ = certificate_expiry(&broken);
            }
        }
    }
}
