//! A matrix folded: each grid of options once, and where it holds.

use std::collections::{BTreeMap, BTreeSet};

use crate::lab::matrix::{Matrix, Outcome, Pair, State, User};

/// A grid of options, and where it holds.
pub(super) struct Fold {
    /// What came of each combination: a row an option of the first one, a column an option of the second.
    pub grid: Vec<Outcome>,
    /// Where it holds, in words.
    pub holds: Vec<String>,
}

type GridKey = (User, State, Pair);

/// Every grid of `matrix` once, those of overlapping addresses first; none that was not measured.
pub(super) fn fold(matrix: &Matrix) -> Vec<Fold> {
    let mut grids: BTreeMap<(bool, GridKey), Vec<Outcome>> = BTreeMap::new();
    for &(cell, outcome) in &matrix.cells {
        let place = (cell.user, cell.state, cell.pair);
        grids.entry((!cell.pair.overlaps(), place)).or_default().push(outcome);
    }
    let view = Coverage::of(grids.keys().map(|(_, place)| place));
    let mut folded: Vec<(Vec<Outcome>, Vec<GridKey>)> = Vec::new();
    for ((_, place), grid) in grids {
        match folded.iter_mut().find(|(known, _)| *known == grid) {
            Some((_, places)) => places.push(place),
            None => folded.push((grid, vec![place])),
        }
    }
    folded.retain(|(grid, _)| grid.iter().any(|outcome| outcome.is_measured()));
    folded.into_iter().map(|(grid, places)| Fold { grid, holds: view.words(&places) }).collect()
}

/// All that was looked at: what is true of all of it goes without saying.
struct Coverage {
    states: BTreeSet<State>,
    pairs: BTreeSet<Pair>,
    users: BTreeSet<User>,
}

impl Coverage {
    fn of<'a>(places: impl Iterator<Item = &'a GridKey>) -> Self {
        let mut view = Self { states: BTreeSet::new(), pairs: BTreeSet::new(), users: BTreeSet::new() };
        for &(user, state, pair) in places {
            view.users.insert(user);
            view.states.insert(state);
            view.pairs.insert(pair);
        }
        view
    }

    /// The places as products of states, users and pairs, one line each.
    fn words(&self, places: &[GridKey]) -> Vec<String> {
        let mut pairs: BTreeMap<(State, User), BTreeSet<Pair>> = BTreeMap::new();
        for &(user, state, pair) in places {
            pairs.entry((state, user)).or_default().insert(pair);
        }
        let mut users: BTreeMap<(BTreeSet<Pair>, State), BTreeSet<User>> = BTreeMap::new();
        for ((state, user), pairs) in pairs {
            users.entry((pairs, state)).or_default().insert(user);
        }
        let mut states: BTreeMap<(BTreeSet<Pair>, BTreeSet<User>), BTreeSet<State>> = BTreeMap::new();
        for ((pairs, state), users) in users {
            states.entry((pairs, users)).or_default().insert(state);
        }
        states.iter().map(|((pairs, users), states)| self.product(states, users, pairs)).collect()
    }

    fn product(&self, states: &BTreeSet<State>, users: &BTreeSet<User>, pairs: &BTreeSet<Pair>) -> String {
        let states = if *states == self.states && states.len() > 1 {
            "any state".to_owned()
        } else {
            listed(states.iter().map(|state| state.name()))
        };
        let parts = [Some(states), self.users_said(users), self.pairs_said(pairs)];
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }

    fn users_said(&self, users: &BTreeSet<User>) -> Option<String> {
        match (self.users.len(), users.iter().next()) {
            (2.., Some(user)) if users.len() == 1 => Some(user.name().replace('-', " ")),
            (2.., _) => Some("any user".to_owned()),
            _ => None,
        }
    }

    fn pairs_said(&self, pairs: &BTreeSet<Pair>) -> Option<String> {
        let that = |overlap: bool| self.pairs.iter().copied().filter(move |pair| pair.overlaps() == overlap);
        if *pairs == self.pairs {
            return (!self.pairs.iter().all(|pair| pair.overlaps())).then(|| "any addresses".to_owned());
        }
        if pairs.iter().copied().eq(that(true)) {
            return Some("overlapping addresses".to_owned());
        }
        if pairs.iter().copied().eq(that(false)) {
            return Some("addresses apart".to_owned());
        }
        Some(listed(pairs.iter().map(|pair| pair.name())))
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use crate::lab::matrix::{Cell, expected};

    use super::*;

    fn by_the_rule(states: &[State], pairs: &[Pair], users: &[User]) -> Matrix {
        let cells = Cell::all(states, pairs, users).into_iter().map(|cell| (cell, expected(cell)));
        Matrix { kernel: String::new(), sysctls: BTreeMap::new(), cells: cells.collect() }
    }

    fn holds(matrix: &Matrix) -> Vec<Vec<String>> {
        fold(matrix).into_iter().map(|fold| fold.holds).collect()
    }

    #[test]
    fn what_is_true_of_all_goes_without_saying() {
        let states = [State::Listen, State::Established, State::TimeWait];
        let matrix = by_the_rule(&states, &[Pair::Same, Pair::Wildcards], &[User::Same]);
        assert_eq!(holds(&matrix), [["LISTEN"], ["ESTABLISHED, TIME-WAIT"]]);
    }

    #[test]
    fn every_place_of_the_whole_matrix_is_under_one_grid() {
        assert_eq!(
            holds(&by_the_rule(&State::ALL, &Pair::ALL, &User::ALL)),
            [
                &["BOUND; same user; overlapping addresses"][..],
                &["LISTEN; same user; overlapping addresses"],
                &[
                    "ESTABLISHED, ACCEPTED, FIN-WAIT-2, CLOSE-WAIT; same user; overlapping addresses",
                    "TIME-WAIT; any user; overlapping addresses"
                ],
                &["BOUND; other user; overlapping addresses"],
                &["LISTEN; other user; overlapping addresses"],
                &["ESTABLISHED, ACCEPTED, FIN-WAIT-2, CLOSE-WAIT; other user; overlapping addresses"],
                &["any state; any user; addresses apart"],
            ]
        );
    }

    #[test]
    fn one_odd_pair_is_named() {
        let mut matrix = by_the_rule(&[State::Listen], &Pair::ALL, &[User::Same]);
        matrix.cells.iter_mut().filter(|(cell, _)| cell.pair == Pair::Wildcards).for_each(|(_, outcome)| {
            *outcome = Outcome::Ok;
        });
        let folded = holds(&matrix);
        assert!(folded[1][0].starts_with("LISTEN; wildcards, specifics, v6only-"), "{folded:?}");
    }
}
