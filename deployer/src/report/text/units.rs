//! Human-readable quantities.

/// Formats seconds: `0.3 s`, `12.0 s`, `2 min 05 s`.
pub(in crate::report) fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a duration of a command: positive, and far from the limits"
    )]
    let whole = seconds.round() as u64;
    format!("{} min {:02} s", whole / 60, whole % 60)
}

/// Formats whole seconds, for elapsed times: `12 s`, `2 min 05 s`.
pub(in crate::report) fn whole_duration(seconds: f64) -> String {
    if seconds < 60.0 {
        // Rounded down, so that an elapsed time never runs ahead.
        format!("{:.0} s", seconds.floor())
    } else {
        duration(seconds.floor())
    }
}

/// Formats a count with its noun: `1 change`, `2 changes`.
pub(in crate::report) fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// Formats bytes in powers of 1000.
pub(in crate::report) fn size(bytes: u64) -> String {
    #[expect(
        clippy::cast_precision_loss,
        reason = "shown with one digit after the point"
    )]
    let number = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", number / 1e3),
        _ => format!("{:.1} MB", number / 1e6),
    }
}
