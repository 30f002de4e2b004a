//! Scales from values to positions on the page. Pure.

/// Span of the page, in its own units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Place {
    pub(crate) from: f64,
    pub(crate) to: f64,
}

impl Place {
    fn at(self, share: f64) -> f64 {
        self.from + (self.to - self.from) * share
    }
}

/// Linear time scale.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time {
    /// Milliseconds since 1970.
    pub(crate) begin: i64,
    pub(crate) end: i64,
    pub(crate) place: Place,
}

impl Time {
    #[expect(clippy::cast_precision_loss, reason = "a place on a page")]
    pub(crate) fn x(&self, at: i64) -> f64 {
        // A log with a single moment would divide by zero.
        let whole = (self.end - self.begin).max(1) as f64;
        self.place
            .at(((at - self.begin) as f64 / whole).clamp(0.0, 1.0))
    }

    /// Returns a few grid marks at round moments in UTC.
    pub(crate) fn marks(&self) -> Vec<i64> {
        // Seconds, from 1 s to 90 days.
        const STEPS: [i64; 18] = [
            1, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 172_800,
            604_800, 1_209_600, 2_592_000, 7_776_000,
        ];
        let whole = (self.end - self.begin) / 1000;
        let step = STEPS
            .into_iter()
            .find(|step| whole / step <= 6)
            // A year, for logs of several years.
            .unwrap_or(31_536_000)
            * 1000;
        let first = self.begin.div_euclid(step) + 1;
        (first..)
            .map(|number| number * step)
            .take_while(|at| *at < self.end)
            // Limits the marks of a log with a leap of many years.
            .take(12)
            .collect()
    }
}

/// Symmetric logarithmic scale for signed values in milliseconds: about linear around zero,
/// logarithmic beyond.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed {
    /// Largest value, and the negated smallest.
    pub(crate) most: f64,
    pub(crate) place: Place,
}

/// Milliseconds up to which the scale is about linear.
const EVEN: f64 = 0.1;
/// Grid marks in milliseconds, with their labels.
const MARKS: [(f64, &str); 8] = [
    (0.1, "0.1 ms"),
    (1.0, "1 ms"),
    (10.0, "10 ms"),
    (100.0, "100 ms"),
    (1_000.0, "1 s"),
    (60_000.0, "1 min"),
    (3_600_000.0, "1 h"),
    (86_400_000.0, "1 d"),
];

impl Signed {
    pub(crate) fn y(&self, value: f64) -> f64 {
        // `ln(1 + x)` is about linear near zero and logarithmic for large values.
        let bent = |value: f64| (value.abs() / EVEN).ln_1p().copysign(value);
        let share = bent(value) / bent(self.most.max(EVEN));
        self.place.at(0.5 - share.clamp(-1.0, 1.0) / 2.0)
    }

    /// Returns the grid marks of both signs, and zero.
    pub(crate) fn marks(&self) -> Vec<(f64, String)> {
        let within = MARKS
            .iter()
            .filter(|(value, _)| *value <= self.most && *value >= 1.0);
        let mut marks = vec![(0.0, "0".to_owned())];
        for (value, name) in within {
            marks.push((*value, format!("+{name}")));
            marks.push((-value, format!("\u{2212}{name}")));
        }
        marks
    }
}

/// Logarithmic scale for positive values in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Powers {
    pub(crate) least: f64,
    pub(crate) most: f64,
    pub(crate) place: Place,
}

impl Powers {
    /// Returns a scale whose bounds are powers of ten and that covers the range.
    pub(crate) fn over(least: f64, most: f64, place: Place) -> Self {
        // The logarithm of zero is undefined.
        let least = 10_f64.powf(least.max(0.001).log10().floor());
        let most = 10_f64.powf(most.max(least * 10.0).log10().ceil());
        Self { least, most, place }
    }

    pub(crate) fn y(&self, value: f64) -> f64 {
        let share = (value.max(self.least) / self.least).ln() / (self.most / self.least).ln();
        self.place.at(1.0 - share.clamp(0.0, 1.0))
    }

    pub(crate) fn marks(&self) -> Vec<(f64, String)> {
        MARKS
            .iter()
            .filter(|(value, _)| *value >= self.least && *value <= self.most)
            .map(|(value, name)| (*value, (*name).to_owned()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place {
        from: 10.0,
        to: 110.0,
    };

    #[test]
    fn a_tight_band_and_a_large_jump_are_both_seen() {
        let scale = Signed {
            most: 1_300.0,
            place: PLACE,
        };
        assert!((scale.y(0.0) - 60.0).abs() < 1e-9);
        assert!((scale.y(1_300.0) - 10.0).abs() < 1e-9);
        assert!((scale.y(-1_300.0) - 110.0).abs() < 1e-9);
        let band = scale.y(-0.5) - scale.y(0.5);
        assert!(band > 10.0, "{band}");
        assert!(scale.y(1_100.0) < scale.y(1_000.0) - 0.4);
        assert_eq!(scale.marks().len(), 9);
    }

    #[test]
    fn times_are_marked_at_round_moments() {
        let time = Time {
            begin: 1_795_305_612_345,
            end: 1_795_305_612_345 + 3_600_000,
            place: PLACE,
        };
        let marks = time.marks();
        assert!((2..=7).contains(&marks.len()), "{marks:?}");
        assert!(marks.iter().all(|at| at % 600_000 == 0));
        assert!((time.x(time.begin) - 10.0).abs() < 1e-9);
        assert!((time.x(time.end) - 110.0).abs() < 1e-9);
        let moment = Time {
            end: time.begin,
            ..time
        };
        assert!(moment.marks().is_empty());
        assert!(moment.x(time.begin).is_finite());
    }

    #[test]
    fn powers_span_the_values() {
        let scale = Powers::over(0.3, 700.0, PLACE);
        assert!((scale.least - 0.1).abs() < 1e-9 && (scale.most - 1_000.0).abs() < 1e-6);
        assert!(scale.y(0.3) > scale.y(700.0));
        assert_eq!(scale.marks().len(), 5);
        assert!(Powers::over(0.0, 0.0, PLACE).y(0.0).is_finite());
    }
}
