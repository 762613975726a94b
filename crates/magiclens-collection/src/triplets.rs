//! Triplets from a collection: a choice of questions about its images, put into words.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use magiclens_data::{Provenance, Triplet};

use crate::draw::Draw;
use crate::image::{LabeledImage, Split};
use crate::questions::{Question, questions};
use crate::relation::{
    COLOR, DRAWING_TO_PHOTO, GENDER, GROUP, LIKE_BOTH, NOT_COLOR, NOT_STYLE, PHOTO_TO_DRAWING, SAME_THING,
    SKETCH_TO_COLOR, SKIN_TONE, STYLE, STYLE_FAMILY, STYLE_OF_SECOND,
};
use crate::wordings::Wordings;

/// Training triplets of each relation; a number that it cannot fill goes to [`STYLE`].
const TRAIN_SHARES: [(&str, usize); 14] = [
    (STYLE_FAMILY, 15_000),
    (SKETCH_TO_COLOR, 12_000),
    (SKIN_TONE, 18_000),
    (GENDER, 14_000),
    (COLOR, 4_000),
    (GROUP, 24_000),
    (PHOTO_TO_DRAWING, 10_000),
    (DRAWING_TO_PHOTO, 8_000),
    (NOT_COLOR, 4_000),
    (NOT_STYLE, 16_000),
    (SAME_THING, 8_000),
    (STYLE_OF_SECOND, 22_000),
    (LIKE_BOTH, 4_000),
    (STYLE, 125_000),
];
/// The same question about the same image comes at most this often, each time in other words.
const MAX_REPEATS: usize = 8;
/// The most queries of a relation in dev and test.
const MAX_HELD_OUT: usize = 3_000;
/// Images with a skin tone take part in every third round only: they are half of all images.
const TONE_ROUNDS: usize = 3;

/// The triplets of one part of the data, in a fixed order that the seed decides.
pub(crate) fn triplets(images: &[LabeledImage], split: Split, seed: u64) -> Vec<Triplet> {
    let wordings = Wordings::load();
    let mut by_relation: BTreeMap<&str, Vec<Question>> = BTreeMap::new();
    for question in questions(images, split, &wordings, seed) {
        by_relation.entry(question.relation).or_default().push(question);
    }
    let mut chosen = Vec::new();
    if split == Split::Train {
        let mut spare = 0;
        for (relation, share) in TRAIN_SHARES {
            let quota = if relation == STYLE { share + spare } else { share };
            let picked = rounds(images, by_relation.remove(relation).unwrap_or_default(), quota, seed);
            spare += quota - picked.len();
            chosen.extend(picked);
        }
    } else {
        for (relation, mut questions) in by_relation {
            Draw::of(seed, relation).shuffle(&mut questions);
            questions.truncate(MAX_HELD_OUT);
            chosen.extend(questions.into_iter().map(|question| (question, 0)));
        }
    }
    let triplet = |(question, repeat): &(Question, usize)| triplet(images, question, *repeat, &wordings, split, seed);
    let mut triplets: Vec<_> = chosen.iter().map(triplet).collect();
    Draw::of(seed, split.name()).shuffle(&mut triplets);
    triplets
}

/// Chooses up to `quota` questions: in each round each image asks once, the question that it has asked least and that is
/// asked least of all. Gives each question with the number of times it was asked before.
fn rounds<'a>(
    images: &[LabeledImage],
    questions: Vec<Question<'a>>,
    quota: usize,
    seed: u64,
) -> Vec<(Question<'a>, usize)> {
    let mut by_query: BTreeMap<usize, Vec<(Question, usize)>> = BTreeMap::new();
    for question in questions {
        by_query.entry(question.query).or_default().push((question, 0));
    }
    let mut by_query: Vec<_> = by_query.into_iter().collect();
    let mut asked: HashMap<String, usize> = HashMap::new();
    let mut chosen = Vec::new();
    let most = by_query.iter().map(|(_, questions)| questions.len()).max().unwrap_or(0);
    for round in 0..most * MAX_REPEATS * TONE_ROUNDS {
        Draw::of(seed, &format!("round {round}")).shuffle(&mut by_query);
        for (query, questions) in &mut by_query {
            if chosen.len() == quota {
                return chosen;
            }
            if images[*query].skin_tone.is_some() && round % TONE_ROUNDS != 0 {
                continue;
            }
            let what = |question: &Question| format!("{:?}", question.ask);
            let count = |question: &Question| asked.get(&what(question)).copied().unwrap_or(0);
            let least = questions.iter_mut().filter(|(_, times)| *times < MAX_REPEATS);
            if let Some((question, times)) = least.min_by_key(|(question, times)| (*times, count(question))) {
                chosen.push((question.clone(), *times));
                *times += 1;
                *asked.entry(what(question)).or_default() += 1;
            }
        }
    }
    chosen
}

fn triplet(
    images: &[LabeledImage],
    question: &Question,
    repeat: usize,
    wordings: &Wordings,
    split: Split,
    seed: u64,
) -> Triplet {
    let query = &images[question.query];
    let mut draw = Draw::of(seed, &format!("{} {} {repeat}", query.id, question.ask.seed_text()));
    let worded = wordings.draw(question.ask, split, &mut draw);
    let ids = |places: &mut dyn Iterator<Item = usize>| -> Vec<_> {
        let ids: BTreeSet<_> = places.map(|at| images[at].id).collect();
        ids.into_iter().collect()
    };
    let licenses = question.targets.iter().map(|&at| images[at].license.as_str());
    let second = question.second.map(|at| images[at].license.as_str());
    let licenses: BTreeSet<_> = licenses.chain([query.license.as_str()]).chain(second).collect();
    Triplet {
        query: query.id,
        second: question.second.map(|at| images[at].id),
        instruction: worded.text,
        targets: ids(&mut question.targets.iter().copied()),
        relation: question.relation.to_owned(),
        hard_negatives: ids(&mut question.negatives.iter().copied()),
        provenance: Provenance {
            source: query.source.clone(),
            generator: format!("template:{}", worded.template),
            license: licenses.into_iter().collect::<Vec<_>>().join(" AND "),
            ..Provenance::default()
        },
    }
}
