//! Which representation an `Accept` header asks for (RFC 9110, section 12.5.1).

/// The representations of `/now`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `application/json`, the default.
    Json,
    /// `text/plain`: the bare timestamp.
    Text,
}

/// How much a client wants a media type. Ordered: quality first, and at equal quality the type that
/// is named wins over one that a wildcard covers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Preference {
    /// In thousandths, 0 is "not acceptable".
    quality: u16,
    specificity: Specificity,
}

/// How closely a media range names the type. A closer range overrides a wider one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Specificity {
    #[default]
    NotCovered,
    AnyType,
    AnySubtype,
    Exact,
}

/// Chooses the format for the values of all `Accept` lines of a request.
///
/// Text only if it is acceptable and preferred to JSON. A client that accepts neither gets JSON too:
/// that is more use to it than 406. Ranges that cannot be read are passed over.
pub(crate) fn negotiate<'a>(values: impl IntoIterator<Item = &'a str>) -> Format {
    let mut json = Preference::default();
    let mut text = Preference::default();
    for range in values.into_iter().flat_map(|value| value.split(',')) {
        consider(range, ("application", "json"), &mut json);
        consider(range, ("text", "plain"), &mut text);
    }
    if text.quality > 0 && text > json {
        Format::Text
    } else {
        Format::Json
    }
}

fn consider(range: &str, wanted: (&str, &str), best: &mut Preference) {
    let mut parts = range.split(';').map(str::trim);
    let specificity = parts
        .next()
        .map_or(Specificity::NotCovered, |name| cover(name, wanted));
    if specificity == Specificity::NotCovered || specificity < best.specificity {
        return;
    }
    let weight = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    let Some(quality) = weight.map_or(Some(1000), parse_quality) else {
        return;
    };
    let found = Preference {
        quality,
        specificity,
    };
    if specificity > best.specificity || found > *best {
        *best = found;
    }
}

fn cover(range: &str, (wanted_type, wanted_subtype): (&str, &str)) -> Specificity {
    let Some((main_type, subtype)) = range.split_once('/') else {
        return Specificity::NotCovered;
    };
    match (main_type, subtype) {
        ("*", "*") => Specificity::AnyType,
        (main_type, "*") if main_type.eq_ignore_ascii_case(wanted_type) => Specificity::AnySubtype,
        (main_type, subtype)
            if main_type.eq_ignore_ascii_case(wanted_type)
                && subtype.eq_ignore_ascii_case(wanted_subtype) =>
        {
            Specificity::Exact
        }
        _ => Specificity::NotCovered,
    }
}

/// `0` to `1` with at most three decimals, in thousandths. Not as a float, which would take `nan`.
fn parse_quality(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{decimals:0<3}").parse().ok()?;
    match (whole, thousandths) {
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
        let table = [
            ("", Format::Json),
            ("*/*", Format::Json),
            ("application/json", Format::Json),
            ("application/*", Format::Json),
            ("text/html", Format::Json),
            ("text/plain", Format::Text),
            ("Text/Plain; charset=utf-8", Format::Text),
            ("text/*", Format::Text),
            ("text/plain;q=0", Format::Json),
            ("text/plain;q=0.000", Format::Json),
            ("text/plain;q=0, */*", Format::Json),
            ("text/*, text/plain;q=0", Format::Json),
            ("text/plain;q=0, text/*", Format::Json),
            ("text/plain;q=0.001", Format::Text),
            ("text/plain, */*", Format::Text),
            ("*/*, text/plain", Format::Text),
            ("text/plain;q=0.5, */*", Format::Json),
            ("text/plain, application/json", Format::Json),
            ("application/json, text/plain, */*", Format::Json),
            ("text/plain, application/json;q=0.9", Format::Text),
            (
                "application/json ; q=0.9 , text/plain ; Q=0.95",
                Format::Text,
            ),
            ("application/json;q=0, */*", Format::Text),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Format::Json,
            ),
            (
                "text/plain;format=flowed;q=0.2, application/json;q=0.1",
                Format::Text,
            ),
            // What cannot be read is passed over.
            ("text/plain;q=nan", Format::Json),
            ("text/plain;q=2", Format::Json),
            ("text/plain;q=1.001", Format::Json),
            ("text/plain;q=0.1234", Format::Json),
            ("text/plain;q=-1", Format::Json),
            ("text", Format::Json),
            (",,;;=/,text/plain", Format::Text),
        ];
        for (accept, expected) in table {
            assert_eq!(negotiate([accept]), expected, "{accept:?}");
        }
    }

    #[test]
    fn several_lines_read_like_one() {
        assert_eq!(negotiate([]), Format::Json);
        assert_eq!(
            negotiate(["application/json;q=0.5", "text/plain"]),
            Format::Text
        );
        assert_eq!(
            negotiate(["text/plain;q=0.5", "application/json"]),
            Format::Json
        );
    }
}
