//! What many times say.

/// The quarter, the half and three quarters of sorted values, or of times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quartiles {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

/// In the unit of the values.
pub(crate) fn quartiles(mut values: Vec<f64>) -> Quartiles {
    assert!(!values.is_empty(), "nothing was measured");
    values.sort_by(f64::total_cmp);
    let at = |quarter: usize| values[(values.len() - 1) * quarter / 4];
    Quartiles {
        low: at(1),
        median: at(2),
        high: at(3),
    }
}

/// In microseconds.
pub(crate) fn quartiles_of(nanoseconds: &[u64]) -> Quartiles {
    quartiles(
        nanoseconds
            .iter()
            .map(|&time| time as f64 / 1000.0)
            .collect(),
    )
}

/// In microseconds.
pub(crate) fn median(nanoseconds: &[u64]) -> f64 {
    quartiles_of(nanoseconds).median
}

/// How often the sum of `others` goes into `one`, block by block: blocks of a round are measured within the same moment, so
/// what else a machine does falls on all of them alike.
pub(crate) fn ratio(one: &[u64], others: &[&[u64]], block: usize) -> Quartiles {
    let blocks = one.len() / block;
    let of_block = |times: &[u64], number: usize| {
        // Kinds that are slow have fewer logins in a block.
        let block = times.len() / blocks;
        median(&times[number * block..(number + 1) * block])
    };
    quartiles(
        (0..blocks)
            .map(|number| {
                let sum: f64 = others.iter().map(|times| of_block(times, number)).sum();
                of_block(one, number) / sum
            })
            .collect(),
    )
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
