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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_those_of_the_sorted_values() {
        let found = quartiles(vec![5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!(
            [found.low, found.median, found.high].map(f64::to_bits),
            [2.0, 3.0, 4.0].map(f64::to_bits)
        );
    }

    #[test]
    fn a_ratio_goes_from_block_to_block_whatever_the_machine_did_meanwhile() {
        // The second block was a hundred times as slow, for all of them.
        let one = [3_000, 3_000, 300_000, 300_000, 3_000, 3_000];
        let other = [1_000, 1_000, 100_000, 100_000, 1_000, 1_000];
        let found = ratio(&one, &[&other, &other], 2);
        assert!(
            [found.low, found.median, found.high]
                .iter()
                .all(|ratio| (ratio - 1.5).abs() < 1e-9),
            "{found:?}"
        );
    }
}
