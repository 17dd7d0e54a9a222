//! What many times say.

/// In microseconds.
pub(crate) fn median(nanoseconds: &[u64]) -> f64 {
    let mut sorted = nanoseconds.to_vec();
    sorted.sort_unstable();
    sorted
        .get(sorted.len() / 2)
        .map_or(f64::NAN, |&middle| middle as f64 / 1000.0)
}

/// How well one login's time tells two kinds apart: 0.5 not at all, 1 always.
pub(crate) fn auc(one: &[u64], other: &[u64]) -> f64 {
    let mut sorted = other.to_vec();
    sorted.sort_unstable();
    let below: usize = one
        .iter()
        .map(|value| {
            sorted.partition_point(|each| each < value)
                + sorted.partition_point(|each| each <= value)
        })
        .sum();
    let share = below as f64 / 2.0 / one.len() as f64 / other.len() as f64;
    share.max(1.0 - share)
}
