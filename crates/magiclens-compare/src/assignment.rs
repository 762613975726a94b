//! Order of the items for a rater, and the side of each ranking: a function of the seed and the rater's name.

use crate::judgment::{RaterName, Side};
use crate::random::Random;
use crate::study::{Intent, Item, Kind};

/// One item as a rater meets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Its place in the study's items.
    pub item: usize,
    /// The ranking on the left.
    pub left: Side,
}

/// All items in the order in which `rater` meets them.
///
/// `A` stands on the left in half of the items of each intent class, and of the checks; where a class is odd, one more or
/// one less, by turns, so that over all queries, and over all items, the two sides differ by one at most. Nothing else of
/// an item decides: not its rankings, and not what other raters see.
pub fn turns(items: &[Item], seed: u64, rater: &RaterName) -> Vec<Turn> {
    let mut random = Random::new(&["turns", &seed.to_string(), rater.as_str()]);
    let mut odd_one = [Side::A, Side::B][random.below(2)];
    let mut turns = Vec::with_capacity(items.len());
    for group in Intent::ALL.map(Some).into_iter().chain([None]) {
        let members = (0..items.len()).filter(|&item| group_of(&items[item]) == group);
        let members: Vec<usize> = members.collect();
        let mut sides: Vec<Side> = (0..members.len() / 2).flat_map(|_| [Side::A, Side::B]).collect();
        if sides.len() < members.len() {
            sides.push(odd_one);
            odd_one = odd_one.other();
        }
        random.shuffle(&mut sides);
        turns.extend(members.into_iter().zip(sides).map(|(item, left)| Turn { item, left }));
    }
    random.shuffle(&mut turns);
    turns
}

/// The intent class, or `None` for a check.
fn group_of(item: &Item) -> Option<Intent> {
    match item.kind {
        Kind::Query { intent } => Some(intent),
        Kind::Check { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use magiclens_data::ImageId;

    use super::*;

    fn items(sizes: [usize; 4]) -> Vec<Item> {
        let kinds = Intent::ALL.map(|intent| Kind::Query { intent });
        let kinds = kinds.into_iter().chain([Kind::Check { real: None }]);
        let kinds = kinds
            .zip(sizes)
            .flat_map(|(kind, size)| std::iter::repeat_n(kind, size));
        let item = |(number, kind)| Item {
            id: format!("q{number}"),
            kind,
            image: ImageId::from_bytes([0; 16]),
            instruction: "other".to_owned(),
            a: Vec::new(),
            b: Vec::new(),
        };
        kinds.enumerate().map(item).collect()
    }

    /// Times that `A` is on the left, less those that it is not.
    fn lead<'a>(turns: impl IntoIterator<Item = &'a Turn>) -> i32 {
        let sides = turns.into_iter().map(|turn| if turn.left == Side::A { 1 } else { -1 });
        sides.sum()
    }

    #[test]
    fn sides_are_balanced_for_every_rater_in_every_class() {
        for sizes in [
            [0, 0, 0, 0],
            [1, 0, 0, 0],
            [1, 1, 1, 1],
            [4, 6, 2, 3],
            [5, 7, 3, 2],
            [50, 51, 49, 13],
        ] {
            let items = items(sizes);
            for seed in 0..40 {
                for name in ["anna", "bert", "x"] {
                    let turns = turns(&items, seed, &RaterName::parse(name).unwrap());
                    let mut seen: Vec<usize> = turns.iter().map(|turn| turn.item).collect();
                    seen.sort_unstable();
                    assert!(seen.into_iter().eq(0..items.len()), "each item once");
                    let what = format!("{sizes:?}, seed {seed}, {name}");
                    for group in Intent::ALL.map(Some).into_iter().chain([None]) {
                        let of_group = turns.iter().filter(|turn| group_of(&items[turn.item]) == group);
                        assert!(lead(of_group).abs() <= 1, "{what}, {group:?}");
                    }
                    let queries = turns.iter().filter(|turn| group_of(&items[turn.item]).is_some());
                    assert!(lead(queries).abs() <= 1, "{what}, queries");
                    assert!(lead(&turns).abs() <= 1, "{what}, all");
                }
            }
        }
    }

    #[test]
    fn order_and_sides_are_those_of_studies_under_way() {
        let check = |name: &str, expected: [(usize, Side); 5]| {
            let turns = turns(&items([2, 1, 1, 1]), 7, &RaterName::parse(name).unwrap());
            let found: Vec<(usize, Side)> = turns.iter().map(|turn| (turn.item, turn.left)).collect();
            assert_eq!(found, expected, "{name}");
        };
        use Side::{A, B};
        check("anna", [(4, B), (3, A), (0, A), (1, B), (2, B)]);
        check("bert", [(1, B), (4, B), (0, A), (2, B), (3, A)]);
    }

    #[test]
    fn raters_and_seeds_are_independent() {
        let items = items([20, 20, 20, 4]);
        let [anna, bert] = ["anna", "bert"].map(|name| RaterName::parse(name).unwrap());
        assert_eq!(turns(&items, 1, &anna), turns(&items, 1, &anna));
        for (one, other) in [((1, &anna), (1, &bert)), ((1, &anna), (2, &anna))] {
            let sides = |(seed, rater)| {
                let mut turns = turns(&items, seed, rater);
                let order: Vec<usize> = turns.iter().map(|turn| turn.item).collect();
                turns.sort_by_key(|turn| turn.item);
                (order, turns.iter().map(|turn| turn.left).collect::<Vec<_>>())
            };
            let ((order, left), (other_order, other_left)) = (sides(one), sides(other));
            assert_ne!(order, other_order);
            let same = left.iter().zip(&other_left).filter(|(one, other)| one == other).count();
            assert!((16..48).contains(&same), "{same} of 64 on the same side");
        }
        // Over many raters each item has each side about as often as the other.
        let raters = (0..400).map(|number| RaterName::parse(&format!("r{number}")).unwrap());
        let first: usize = raters
            .filter(|rater| {
                turns(&items, 1, rater)
                    .iter()
                    .any(|turn| turn.item == 0 && turn.left == Side::A)
            })
            .count();
        assert!((160..240).contains(&first), "{first} of 400");
    }
}
