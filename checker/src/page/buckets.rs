//! Time series in bounded memory: buckets whose width doubles as the series grows. Pure.

/// Maximum number of buckets. A page has hardly more columns.
const MOST: usize = 1_200;

/// Joinable values by time.
#[derive(Debug, Clone)]
pub(crate) struct Buckets<T> {
    /// Start of the first bucket, milliseconds since 1970.
    start: i64,
    /// Width of a bucket, milliseconds.
    width: i64,
    values: Vec<Option<T>>,
}

/// Value that can be joined with others of its type.
pub(crate) trait Join {
    fn join(&mut self, other: &Self);
}

impl<T: Join + Clone> Buckets<T> {
    pub(crate) fn new(start: i64) -> Self {
        Self {
            start,
            // Doubles as needed, so the initial width hardly matters.
            width: 1,
            values: Vec::new(),
        }
    }

    /// Adds a value. A moment before the first bucket counts for that bucket.
    pub(crate) fn add(&mut self, at: i64, value: &T) {
        let mut index = self.index(at);
        // A long gap may need several doublings.
        while index >= MOST {
            self.double();
            index = self.index(at);
        }
        if self.values.len() <= index {
            self.values.resize(index + 1, None);
        }
        match self.values.get_mut(index) {
            Some(Some(known)) => known.join(value),
            Some(empty) => *empty = Some(value.clone()),
            None => {}
        }
    }

    fn index(&self, at: i64) -> usize {
        // A wall clock that was set back gives moments before the start.
        usize::try_from((at - self.start).max(0) / self.width).unwrap_or(usize::MAX)
    }

    fn double(&mut self) {
        self.width *= 2;
        self.values = self
            .values
            .chunks(2)
            .map(|pair| {
                pair.iter().flatten().fold(None, |sum: Option<T>, value| {
                    let mut sum = sum.unwrap_or_else(|| value.clone());
                    sum.join(value);
                    Some(sum)
                })
            })
            .collect();
    }

    /// Returns start and value of each bucket that has one.
    pub(crate) fn known(&self) -> impl Iterator<Item = (i64, &T)> {
        (0..)
            .map(|index: i64| self.start + index * self.width)
            .zip(&self.values)
            .filter_map(|(at, value)| Some((at, value.as_ref()?)))
    }

    /// Returns the values with start and end. A value holds until the next one, unless the gap is
    /// so long that it may have changed.
    pub(crate) fn stretches(&self) -> Vec<(i64, i64, &T)> {
        let known: Vec<_> = self.known().collect();
        let mut gaps: Vec<i64> = known
            .windows(2)
            .filter_map(|pair| match pair {
                [(earlier, _), (later, _)] => Some(later - earlier),
                _ => None,
            })
            .collect();
        // The median is robust against a few long gaps, such as restarts.
        gaps.sort_unstable();
        let usual = gaps.get(gaps.len() / 2).copied().unwrap_or(self.width);
        // Three usual gaps: a missed check or two do not break the line.
        let longest = (3 * usual).max(self.width);
        let ends = known.iter().skip(1).map(|(at, _)| Some(*at)).chain([None]);
        known
            .iter()
            .zip(ends)
            .map(|((at, value), next)| {
                let end = match next {
                    Some(next) if next - at <= longest => next,
                    // Beyond a long gap, and at the end, a value holds for one usual gap only.
                    Some(_) | None => at + usual.min(longest),
                };
                (*at, end, *value)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Range(i64, i64);

    impl Join for Range {
        fn join(&mut self, other: &Self) {
            self.0 = self.0.min(other.0);
            self.1 = self.1.max(other.1);
        }
    }

    #[test]
    fn months_take_one_page_and_no_extreme_is_lost() {
        let mut buckets = Buckets::new(1_000);
        for check in 0..250_000_i64 {
            let value = if check == 123_456 { 9_999 } else { check % 7 };
            buckets.add(1_000 + check * 30_000, &Range(value, value));
        }
        assert!(buckets.values.len() <= MOST);
        assert!(buckets.values.len() > MOST / 2 - 2);
        let highest = buckets.known().map(|(_, range)| range.1).max();
        assert_eq!(highest, Some(9_999));
        let peak = buckets.known().find(|(_, range)| range.1 == 9_999).unwrap();
        let truth = 1_000 + 123_456 * 30_000;
        assert!(peak.0 <= truth && truth < peak.0 + buckets.width);
    }

    #[test]
    fn what_nobody_saw_is_a_gap() {
        let mut buckets = Buckets::new(0);
        for at in [0, 30, 60, 90, 600, 630] {
            buckets.add(at, &Range(at, at));
        }
        let stretches: Vec<_> = buckets
            .stretches()
            .into_iter()
            .map(|(begin, end, _)| (begin, end))
            .collect();
        let expected = [
            (0, 30),
            (30, 60),
            (60, 90),
            (90, 120),
            (600, 630),
            (630, 660),
        ];
        assert_eq!(stretches, expected);
    }
}
