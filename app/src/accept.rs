//! Content negotiation by `Accept` (RFC 9110, section 12.5.1).
//!
//! Not the `headers-accept` crate: it lets the order of the header decide between equal qualities,
//! reads an invalid quality as 1, and rejects the whole header for one range that it cannot parse.

/// Representation of `/now`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `application/json`, the default.
    Json,
    /// `text/plain`: the bare timestamp.
    Text,
}

/// Media ranges that cover each representation, from the least to the most specific.
const JSON: [&str; 3] = ["*/*", "application/*", "application/json"];
const TEXT: [&str; 3] = ["*/*", "text/*", "text/plain"];

/// Chooses the format from the values of all `Accept` lines of a request.
///
/// Text only if it is acceptable and preferred to JSON. A client that accepts neither gets JSON
/// too, which is more use to it than 406. Ranges that cannot be parsed are skipped.
pub(crate) fn negotiate<'a>(values: impl IntoIterator<Item = &'a str>) -> Format {
    let ranges = values.into_iter().flat_map(|value| value.split(','));
    let ranges: Vec<(&str, u16)> = ranges.filter_map(parse_range).collect();
    let (json, text) = (preference(&ranges, JSON), preference(&ranges, TEXT));
    if text.0 > 0 && text > json {
        Format::Text
    } else {
        Format::Json
    }
}

/// Returns quality and specificity of the closest range, which overrides wider ones. The order of
/// the two makes a type that is named win over one that a wildcard covers at the same quality.
fn preference(ranges: &[(&str, u16)], names: [&str; 3]) -> (u16, usize) {
    let quality = |name: &str| {
        let same = |(range, _): &&(&str, u16)| range.eq_ignore_ascii_case(name);
        ranges
            .iter()
            .filter(same)
            .map(|(_, quality)| *quality)
            // Of duplicate ranges the best quality counts, whatever their order.
            .max()
    };
    // RFC 9110: the most specific range takes precedence.
    let closest = names.into_iter().enumerate().rev();
    let mut found = closest.filter_map(|(specificity, name)| Some((quality(name)?, specificity)));
    found.next().unwrap_or_default()
}

/// Splits a media range into its name and its quality in thousandths; other parameters are ignored.
fn parse_range(range: &str) -> Option<(&str, u16)> {
    let (name, parameters) = range.split_once(';').unwrap_or((range, ""));
    let quality = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    Some((name.trim(), quality.map_or(Some(1000), parse_quality)?))
}

/// Parses `0` to `1` with at most three decimals, in thousandths. Not as a float, which would take
/// `nan`.
fn parse_quality(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match (whole, format!("{decimals:0<3}").parse().ok()?) {
        ("0", thousandths) => Some(thousandths),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_unless_text_is_preferred() {
        let json = [
            "",
            "*/*",
            "application/json",
            "application/*",
            "text/html",
            "text/plain;q=0",
            "text/plain;q=0.000",
            "text/plain;q=0, */*",
            "text/*, text/plain;q=0",
            "text/plain;q=0, text/*",
            "text/plain;q=0.5, */*",
            "text/plain, application/json",
            "application/json, text/plain, */*",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            // Ranges that cannot be parsed are skipped.
            "text/plain;q=nan",
            "text/plain;q=2",
            "text/plain;q=1.001",
            "text/plain;q=0.1234",
            "text/plain;q=-1",
            "text",
        ];
        let text = [
            "text/plain",
            "Text/Plain; charset=utf-8",
            "text/*",
            "text/plain;q=0.001",
            "text/plain, */*",
            "*/*, text/plain",
            "text/plain, application/json;q=0.9",
            "application/json ; q=0.9 , text/plain ; Q=0.95",
            "application/json;q=0, */*",
            "text/plain;format=flowed;q=0.2, application/json;q=0.1",
            ",,;;=/,text/plain",
        ];
        for (format, headers) in [(Format::Json, &json[..]), (Format::Text, &text[..])] {
            for accept in headers {
                assert_eq!(negotiate([*accept]), format, "{accept:?}");
            }
        }
    }

    #[test]
    fn several_lines_read_like_one() {
        assert_eq!(negotiate([]), Format::Json);
        let (json, text) = ("application/json;q=0.5", "text/plain");
        assert_eq!(negotiate([json, text]), Format::Text);
        let (text, json) = ("text/plain;q=0.5", "application/json");
        assert_eq!(negotiate([text, json]), Format::Json);
    }
}
