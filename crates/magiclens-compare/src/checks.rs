//! Questions with a known answer, made to look like the others.

use std::collections::BTreeSet;

use magiclens_data::ImageId;

use crate::judgment::Side;
use crate::queries::{NamedImage, QueryFile};
use crate::random::Random;
use crate::study::{AUTOMATIC_CHECK, Item, Kind, Settings};

/// The checks of the query file, with as many images as a ranking has, so that they look like one: random images stand at
/// the end of both sides.
pub(crate) fn given_checks(settings: &Settings, queries: &QueryFile, items: &[Item], gallery: &[ImageId]) -> Vec<Item> {
    let length = items.iter().map(|item| item.a.len()).max().unwrap_or(0);
    let mut random = Random::new(&["padding", &settings.seed.to_string()]);
    let mut given = Vec::with_capacity(queries.checks.len());
    for check in &queries.checks {
        let ids = |images: &[NamedImage]| images.iter().map(|image| image.id).collect::<Vec<_>>();
        let (mut a, mut b) = (ids(&check.good), ids(&check.bad));
        let named: BTreeSet<&ImageId> = a.iter().chain(&b).chain([&check.image.id]).collect();
        let mut others: Vec<ImageId> = gallery.iter().filter(|id| !named.contains(id)).copied().collect();
        random.shuffle(&mut others);
        for side in [&mut a, &mut b] {
            let lacks = length.saturating_sub(side.len()).min(others.len());
            side.extend(others.split_off(others.len() - lacks));
            side.truncate(length);
        }
        given.push(Item {
            id: check.id.clone(),
            kind: Kind::Check { real: None },
            image: check.image.id,
            instruction: check.instruction.clone(),
            a,
            b,
        });
    }
    given
}

/// Checks made of the study's own queries: a ranking of A or B, by turns, against random images of the gallery.
pub(crate) fn automatic_checks(settings: &Settings, items: &[Item], galleries: &[Vec<ImageId>; 2]) -> Vec<Item> {
    let mut random = Random::new(&["checks", &settings.seed.to_string()]);
    let mut order: Vec<&Item> = items.iter().collect();
    random.shuffle(&mut order);
    let first = random.below(2);
    let chosen = order.into_iter().take(settings.automatic_checks).enumerate();
    let check = |(number, item): (usize, &Item)| {
        let place = (first + number) % 2;
        let side = [Side::A, Side::B][place];
        let real = item.ranking(side).to_vec();
        let is_other = |id: &&ImageId| !real.contains(id) && **id != item.image;
        let mut wrong: Vec<ImageId> = galleries[place].iter().filter(is_other).copied().collect();
        random.shuffle(&mut wrong);
        // A gallery so small that the ranking leaves too little of it: the ranking's worst images fill up.
        wrong.extend(real.iter().rev());
        wrong.truncate(real.len());
        Item {
            id: format!("{AUTOMATIC_CHECK} {}", number + 1),
            kind: Kind::Check { real: Some(side) },
            a: real,
            b: wrong,
            ..item.clone()
        }
    };
    chosen.map(check).collect()
}
