//! The changes of a condition to the triplets: fewer of them, without a kind, with other instructions. Each is a function of
//! triplets and seed.

use magiclens_collection::LabeledImage;
use magiclens_data::Triplet;
use magiclens_metrics::Random;

use crate::condition::Triplets;
use crate::wordings::one_wording;

/// Instructions that say nothing of the change.
const VAGUE: [&str; 8] = [
    "something else",
    "another version of this",
    "a different one",
    "change it",
    "like this, but not quite",
    "show me something similar",
    "one more of these",
    "related to this",
];

impl Triplets {
    /// The triplets to train on, from all of the collection; `images` are those of the train part.
    pub(crate) fn of(self, all: &[Triplet], images: &[LabeledImage], seed: u64) -> Vec<Triplet> {
        match self {
            Self::All => all.to_vec(),
            Self::Share(share) => drawn(all, share, seed),
            Self::OneWording => one_wording(all, images),
            Self::Without(relation) => all
                .iter()
                .filter(|triplet| triplet.relation != relation)
                .cloned()
                .collect(),
            Self::Wrong(share) => reworded(all, share, seed, |random, triplet| wrong(all, triplet, random)),
            Self::Vague(share) => reworded(all, share, seed, |random, _| {
                VAGUE[random.below(VAGUE.len())].to_owned()
            }),
        }
    }
}

/// This share of the triplets, at least one, in their order.
fn drawn(all: &[Triplet], share: f64, seed: u64) -> Vec<Triplet> {
    let mut places: Vec<usize> = (0..all.len()).collect();
    Random::seed_from_u64(seed).shuffle(&mut places);
    places.truncate(((share * all.len() as f64).round() as usize).max(1));
    places.sort_unstable();
    places.into_iter().map(|place| all[place].clone()).collect()
}

/// The triplets, with about this share of them under another instruction.
fn reworded(
    all: &[Triplet],
    share: f64,
    seed: u64,
    mut word: impl FnMut(&mut Random, &Triplet) -> String,
) -> Vec<Triplet> {
    let mut random = Random::seed_from_u64(seed);
    let change = |triplet: &Triplet| {
        let mut changed = triplet.clone();
        if f64::from(random.between(0.0, 1.0)) < share {
            changed.instruction = word(&mut random, triplet);
        }
        changed
    };
    all.iter().map(change).collect()
}

/// The instruction of another relation's triplet; the own one where there seems to be no other relation.
fn wrong(all: &[Triplet], triplet: &Triplet, random: &mut Random) -> String {
    const TRIES: usize = 50;
    let mut others = (0..TRIES).map(|_| &all[random.below(all.len())]);
    let other = others.find(|other| other.relation != triplet.relation);
    other.unwrap_or(triplet).instruction.clone()
}

#[cfg(test)]
mod tests {
    use magiclens_data::{ImageId, Provenance};

    use super::*;

    fn triplets() -> Vec<Triplet> {
        let triplet = |at: usize| Triplet {
            query: ImageId::of_bytes(at.to_string().as_bytes()),
            second: None,
            instruction: format!("wish {at}"),
            targets: vec![ImageId::of_bytes(b"target")],
            relation: if at.is_multiple_of(2) { "even" } else { "odd" }.to_owned(),
            hard_negatives: Vec::new(),
            provenance: Provenance::default(),
        };
        (0..1000).map(triplet).collect()
    }

    fn changed(change: Triplets, seed: u64) -> Vec<Triplet> {
        change.of(&triplets(), &[], seed)
    }

    #[test]
    fn a_share_is_drawn_by_the_seed() {
        let found = changed(Triplets::Share(0.03), 1);
        assert_eq!(found.len(), 30);
        assert_eq!(found, changed(Triplets::Share(0.03), 1));
        assert_ne!(found, changed(Triplets::Share(0.03), 2));
        // A smaller share is a part of a larger one.
        let larger = changed(Triplets::Share(0.1), 1);
        assert!(found.iter().all(|triplet| larger.contains(triplet)));
        assert_eq!(changed(Triplets::Share(1e-9), 1).len(), 1);
    }

    #[test]
    fn a_relation_is_left_out_whole() {
        let found = changed(Triplets::Without("odd"), 1);
        assert_eq!(found.len(), 500);
        assert!(found.iter().all(|triplet| triplet.relation == "even"));
    }

    #[test]
    fn damage_is_of_the_share_and_of_instructions_alone() {
        for (change, share) in [(Triplets::Wrong(0.3), 0.3), (Triplets::Vague(0.6), 0.6)] {
            let (before, after) = (triplets(), changed(change, 5));
            let damaged: Vec<(&Triplet, &Triplet)> = before
                .iter()
                .zip(&after)
                .filter(|(a, b)| a.instruction != b.instruction)
                .collect();
            let found = damaged.len() as f64 / before.len() as f64;
            assert!((found - share).abs() < 0.05, "{change:?}: {found}");
            for (a, b) in &damaged {
                assert_eq!((a.query, &a.targets, &a.relation), (b.query, &b.targets, &b.relation));
                let of_other = before
                    .iter()
                    .any(|other| other.instruction == b.instruction && other.relation != a.relation);
                assert!(of_other || VAGUE.contains(&b.instruction.as_str()), "{}", b.instruction);
            }
            assert_eq!(after, changed(change, 5));
        }
    }
}
