//! A list that a reader takes in.

/// The first of many, and how many are left.
pub(crate) fn few<T>(all: &[T]) -> (&[T], usize) {
    const SHOWN: usize = 5;
    match all.split_at_checked(SHOWN) {
        // One more takes no more room than to say so.
        Some((shown, rest)) if rest.len() > 1 => (shown, rest.len()),
        _ => (all, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_some_are_shown_and_the_rest_is_counted() {
        let all = [1, 2, 3, 4, 5, 6, 7];
        assert_eq!(few(&all), (&[1, 2, 3, 4, 5][..], 2));
        assert_eq!(few(&all[..6]), (&all[..6], 0));
        assert_eq!(few::<u8>(&[]), (&[][..], 0));
    }
}
