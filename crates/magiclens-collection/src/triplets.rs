//! Triplets from a collection: for each image, what can be asked of it and which images answer.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::draw::Draw;
use crate::labels::{without_color, without_gender, without_tone};
use crate::packages::{DRAWINGS, HELD_OUT_STYLES, Look, of_style};
use crate::wordings::{Ask, Pool, Wordings};
use magiclens_data::{Image, ImageKind, Provenance, Split, Triplet};

/// Another style of another design family.
pub const STYLE: &str = "style";
/// Another style of the same design family, where the shapes are shared.
pub const STYLE_FAMILY: &str = "style_family";
/// Another style, where the query's or the target's is never trained on.
pub const STYLE_UNSEEN: &str = "style_unseen";
/// A line drawing, and colored images of the same thing.
pub const SKETCH_TO_COLOR: &str = "sketch_to_colour";
/// The same image with another skin tone.
pub const SKIN_TONE: &str = "skin_tone";
/// The same role with another gender.
pub const GENDER: &str = "gender";
/// The same thing in another color.
pub const COLOR: &str = "colour";
/// Something else of the same subgroup, in the same style.
pub const GROUP: &str = "group";
/// A photograph, and drawings of the same thing.
pub const PHOTO_TO_DRAWING: &str = "photo_to_drawing";
/// A drawing, and photographs of the same thing.
pub const DRAWING_TO_PHOTO: &str = "drawing_to_photo";

/// How many training triplets a relation gets; what it cannot fill goes to [`STYLE`].
const TRAIN_SHARES: [(&str, usize); 9] = [
    (STYLE_FAMILY, 15_000),
    (SKETCH_TO_COLOR, 12_000),
    (SKIN_TONE, 18_000),
    (GENDER, 14_000),
    (COLOR, 4_000),
    (GROUP, 24_000),
    (PHOTO_TO_DRAWING, 10_000),
    (DRAWING_TO_PHOTO, 8_000),
    (STYLE, 145_000),
];
/// The same question about the same image comes at most this often, each time in other words.
const MAX_REPEATS: usize = 8;
/// How many queries of a relation dev and test hold at most.
const MAX_HELD_OUT: usize = 3_000;
/// Images with a skin tone take part in every third round only: they are half of all images.
const TONE_ROUNDS: usize = 3;

impl<'a> Ask<'a> {
    /// What a query of this relation asks for, told by one of its right answers. Nothing for relations where the answer
    /// does not tell: a drawing may answer "as a drawing" and "in this style".
    pub fn of(relation: &str, answer: &'a Image) -> Option<Self> {
        match relation {
            STYLE | STYLE_FAMILY | STYLE_UNSEEN => Some(Self::Style(&answer.style)),
            SKETCH_TO_COLOR => Some(Self::SketchToColor),
            SKIN_TONE => answer.skin_tone.as_deref().map(Self::SkinTone),
            GENDER => Some(Self::Gender(gender_phrase(&answer.concept, answer.gender.as_deref()?))),
            COLOR => answer.color.as_deref().map(Self::Color),
            GROUP => Some(Self::Group(&answer.subgroup)),
            DRAWING_TO_PHOTO => Some(Self::DrawingToPhoto),
            _ => None,
        }
    }
}

/// The triplets of one part of the data, in a fixed order that the seed decides.
pub(crate) fn triplets(images: &[Image], split: Split, seed: u64) -> Vec<Triplet> {
    let index = Index::new(images, split);
    let wordings = Wordings::load();
    let mut by_relation: BTreeMap<&str, Vec<Question>> = BTreeMap::new();
    for &query in &index.members {
        for question in questions(&index, &wordings, query, seed) {
            by_relation.entry(question.relation).or_default().push(question);
        }
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
    let pool = if split == Split::Train {
        Pool::Train
    } else {
        Pool::HeldOut
    };
    let mut triplets: Vec<_> = chosen
        .iter()
        .map(|(question, repeat)| triplet(images, question, *repeat, &wordings, pool, seed))
        .collect();
    Draw::of(seed, split.name()).shuffle(&mut triplets);
    triplets
}

/// Something that can be asked about an image, and all right answers. Numbers are places in the list of images.
#[derive(Clone, Debug)]
struct Question<'a> {
    query: usize,
    relation: &'static str,
    ask: Ask<'a>,
    targets: BTreeSet<usize>,
    negatives: Vec<usize>,
}

/// The images of one part, by what they show and how.
struct Index<'a> {
    images: &'a [Image],
    members: Vec<usize>,
    /// Drawings by style and concept.
    drawings: HashMap<&'a str, HashMap<&'a str, Vec<usize>>>,
    /// Images by kind and by concept, "dog face" being a dog.
    things: HashMap<(ImageKind, &'a str), Vec<usize>>,
    tones: HashMap<(&'a str, String), Vec<usize>>,
    genders: HashMap<(&'a str, String), Vec<usize>>,
    colors: HashMap<(&'a str, String), Vec<usize>>,
    groups: HashMap<(&'a str, &'a str), Vec<usize>>,
}

impl<'a> Index<'a> {
    fn new(images: &'a [Image], split: Split) -> Self {
        let members: Vec<_> = (0..images.len()).filter(|&at| images[at].split == split).collect();
        let mut index = Self {
            images,
            members: Vec::new(),
            drawings: HashMap::new(),
            things: HashMap::new(),
            tones: HashMap::new(),
            genders: HashMap::new(),
            colors: HashMap::new(),
            groups: HashMap::new(),
        };
        for &at in &members {
            index.add(at);
        }
        index.members = members;
        index
    }

    /// The drawings of a concept in a style.
    fn drawn(&self, style: &str, concept: &str) -> &[usize] {
        let drawings = self.drawings.get(style).and_then(|drawings| drawings.get(concept));
        drawings.map(Vec::as_slice).unwrap_or_default()
    }

    fn add(&mut self, at: usize) {
        let image = &self.images[at];
        let style = image.style.as_str();
        for thing in things(image) {
            self.things.entry((image.kind, thing)).or_default().push(at);
        }
        if image.kind == ImageKind::Photo {
            return;
        }
        for concept in concepts(image) {
            self.drawings
                .entry(style)
                .or_default()
                .entry(concept)
                .or_default()
                .push(at);
        }
        let Some(package) = of_style(style) else { return };
        if shows_one(image, |concept| tone(concept).map(str::to_owned)) {
            self.tones
                .entry((style, without_tone(&image.concept)))
                .or_default()
                .push(at);
        }
        // An image that stands for two genders of one role answers neither.
        if image.gender.is_some() && shows_one(image, |concept| Some(concept.to_owned())) {
            self.genders
                .entry((style, without_gender(&image.concept)))
                .or_default()
                .push(at);
        }
        // A red circle without colors is no red circle.
        if package.look == Look::Color
            && image.color.is_some()
            && image.also.is_empty()
            && let Some((rest, _)) = without_color(&image.concept)
        {
            self.colors.entry((style, rest)).or_default().push(at);
        }
        self.groups.entry((style, &image.subgroup)).or_default().push(at);
    }
}

/// All questions about an image that its part of the data can answer.
fn questions<'a>(index: &Index<'a>, wordings: &Wordings, query: usize, seed: u64) -> Vec<Question<'a>> {
    let image = &index.images[query];
    let mut questions = Vec::new();
    let mut draw = Draw::of(seed, &format!("questions {}", image.id));
    match image.kind {
        ImageKind::Photo => photo_questions(index, query, &mut questions),
        ImageKind::Drawing => {
            style_questions(index, query, &mut draw, &mut questions);
            attribute_questions(index, query, &mut questions);
            if wordings.has_group(&image.subgroup) {
                group_question(index, query, &mut questions);
            }
            photo_question(index, query, &mut questions);
        }
    }
    for question in &mut questions {
        question.targets.remove(&query);
    }
    questions.retain(|question| !question.targets.is_empty());
    questions
}

fn style_questions<'a>(index: &Index<'a>, query: usize, draw: &mut Draw, questions: &mut Vec<Question<'a>>) {
    let image = &index.images[query];
    for package in DRAWINGS.iter().filter(|package| package.style != image.style) {
        let targets = in_style(index, image, package.style, package.look);
        let relation = if is_held_out(package.style) || is_held_out(&image.style) {
            STYLE_UNSEEN
        } else if package.family == image.family {
            STYLE_FAMILY
        } else {
            STYLE
        };
        let negatives = style_negatives(index, image, package.style, &targets, draw);
        questions.push(Question {
            query,
            relation,
            ask: Ask::Style(package.style),
            targets,
            negatives,
        });
    }
    if of_style(&image.style).is_some_and(|package| package.look == Look::Line) {
        let colored = DRAWINGS.iter().filter(|package| package.look == Look::Color);
        let targets = colored
            .flat_map(|package| in_style(index, image, package.style, package.look))
            .collect();
        let ask = Ask::SketchToColor;
        questions.push(Question {
            query,
            relation: SKETCH_TO_COLOR,
            ask,
            targets,
            negatives: Vec::new(),
        });
    }
}

/// Everything a drawing shows, in another style. Styles without tones answer with the image that has none.
fn in_style(index: &Index, image: &Image, style: &str, look: Look) -> BTreeSet<usize> {
    let same: BTreeSet<_> = concepts(image)
        .flat_map(|concept| index.drawn(style, concept))
        .copied()
        .collect();
    if same.is_empty() && look != Look::Color && image.skin_tone.is_some() {
        return index
            .drawn(style, &without_tone(&image.concept))
            .iter()
            .copied()
            .collect();
    }
    same
}

/// Two other things of the subgroup in the right style, and the right thing in a wrong style.
fn style_negatives(
    index: &Index,
    image: &Image,
    style: &str,
    targets: &BTreeSet<usize>,
    draw: &mut Draw,
) -> Vec<usize> {
    let mut negatives = Vec::new();
    if let Some(group) = index.groups.get(&(style, image.subgroup.as_str())) {
        for _ in 0..4 {
            let other = *draw.pick(group);
            let wrong = index.images[other].root != image.root || !shares_concept(&index.images[other], image);
            if negatives.len() < 2 && wrong && !targets.contains(&other) && !negatives.contains(&other) {
                negatives.push(other);
            }
        }
    }
    let package = draw.pick(&DRAWINGS);
    if package.style != style && package.style != image.style {
        let wrong_style = in_style(index, image, package.style, package.look);
        negatives.extend(wrong_style.into_iter().filter(|at| !targets.contains(at)).take(1));
    }
    negatives
}

fn attribute_questions<'a>(index: &Index<'a>, query: usize, questions: &mut Vec<Question<'a>>) {
    let image = &index.images[query];
    let style = image.style.as_str();
    let siblings = |family: Option<&Vec<usize>>| -> Vec<usize> {
        let family = family.map(Vec::as_slice).unwrap_or_default();
        if family.contains(&query) {
            family.to_vec()
        } else {
            Vec::new()
        }
    };
    let tones = siblings(index.tones.get(&(style, without_tone(&image.concept))));
    add_attribute(
        index,
        query,
        SKIN_TONE,
        &tones,
        |image| image.skin_tone.as_deref().map(Ask::SkinTone),
        questions,
    );
    let genders = siblings(index.genders.get(&(style, without_gender(&image.concept))));
    let gender = |image: &'a Image| Some(Ask::Gender(gender_phrase(&image.concept, image.gender.as_deref()?)));
    add_attribute(index, query, GENDER, &genders, gender, questions);
    if let Some((rest, _)) = without_color(&image.concept) {
        let colors = siblings(index.colors.get(&(style, rest)));
        add_attribute(
            index,
            query,
            COLOR,
            &colors,
            |image| image.color.as_deref().map(Ask::Color),
            questions,
        );
    }
}

/// One question for each value that siblings of the query have and it has not; the siblings with other values are its
/// hard negatives.
fn add_attribute<'a>(
    index: &Index<'a>,
    query: usize,
    relation: &'static str,
    siblings: &[usize],
    ask: impl Fn(&'a Image) -> Option<Ask<'a>>,
    questions: &mut Vec<Question<'a>>,
) {
    let own = ask(&index.images[query]);
    let mut asked: Vec<Ask> = Vec::new();
    for &sibling in siblings {
        let Some(wanted) = ask(&index.images[sibling]).filter(|&wanted| Some(wanted) != own) else {
            continue;
        };
        if asked.contains(&wanted) {
            continue;
        }
        asked.push(wanted);
        let right = |at: &usize| ask(&index.images[*at]) == Some(wanted);
        let targets = siblings.iter().copied().filter(right).collect();
        let negatives = siblings
            .iter()
            .copied()
            .filter(|at| *at != query && !right(at))
            .take(4)
            .collect();
        questions.push(Question {
            query,
            relation,
            ask: wanted,
            targets,
            negatives,
        });
    }
}

fn group_question<'a>(index: &Index<'a>, query: usize, questions: &mut Vec<Question<'a>>) {
    let image = &index.images[query];
    let group = index.groups.get(&(image.style.as_str(), image.subgroup.as_str()));
    let others = group
        .into_iter()
        .flatten()
        .copied()
        .filter(|&at| index.images[at].root != image.root);
    let targets = others.collect();
    let ask = Ask::Group(&image.subgroup);
    questions.push(Question {
        query,
        relation: GROUP,
        ask,
        targets,
        negatives: Vec::new(),
    });
}

fn photo_question<'a>(index: &Index<'a>, query: usize, questions: &mut Vec<Question<'a>>) {
    let targets = same_things(index, &index.images[query], ImageKind::Photo);
    let ask = Ask::DrawingToPhoto;
    questions.push(Question {
        query,
        relation: DRAWING_TO_PHOTO,
        ask,
        targets,
        negatives: Vec::new(),
    });
}

fn photo_questions<'a>(index: &Index<'a>, query: usize, questions: &mut Vec<Question<'a>>) {
    let drawings = same_things(index, &index.images[query], ImageKind::Drawing);
    let relation = PHOTO_TO_DRAWING;
    for package in &DRAWINGS {
        let of_style = |at: &usize| index.images[*at].style == package.style;
        let targets = drawings.iter().copied().filter(of_style).collect();
        let negatives = drawings.iter().copied().filter(|at| !of_style(at)).take(2).collect();
        questions.push(Question {
            query,
            relation,
            ask: Ask::Style(package.style),
            targets,
            negatives,
        });
    }
    let ask = Ask::PhotoToDrawing;
    questions.push(Question {
        query,
        relation,
        ask,
        targets: drawings,
        negatives: Vec::new(),
    });
}

fn same_things(index: &Index, image: &Image, kind: ImageKind) -> BTreeSet<usize> {
    things(image)
        .flat_map(|thing| index.things.get(&(kind, thing)).into_iter().flatten().copied())
        .collect()
}

/// Chooses up to `quota` questions: in each round each image asks once, what it has asked least and what is asked
/// least of all. Gives each question with how often it was asked before.
fn rounds<'a>(images: &[Image], questions: Vec<Question<'a>>, quota: usize, seed: u64) -> Vec<(Question<'a>, usize)> {
    let mut by_query: BTreeMap<usize, Vec<(Question, usize)>> = BTreeMap::new();
    for question in questions {
        by_query.entry(question.query).or_default().push((question, 0));
    }
    let mut by_query: Vec<_> = by_query.into_iter().collect();
    let mut asked: HashMap<String, usize> = HashMap::new();
    let mut chosen = Vec::new();
    let most = by_query
        .iter()
        .map(|(_, questions)| questions.len() * MAX_REPEATS)
        .max()
        .unwrap_or(0);
    for round in 0..most * TONE_ROUNDS {
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
    images: &[Image],
    question: &Question,
    repeat: usize,
    wordings: &Wordings,
    pool: Pool,
    seed: u64,
) -> Triplet {
    let query = &images[question.query];
    let mut draw = Draw::of(seed, &format!("{} {:?} {repeat}", query.id, question.ask));
    let worded = wordings.draw(question.ask, pool, &mut draw);
    let ids = |places: &mut dyn Iterator<Item = usize>| -> Vec<_> {
        let ids: BTreeSet<_> = places.map(|at| images[at].id).collect();
        ids.into_iter().collect()
    };
    let licenses = question.targets.iter().map(|&at| images[at].license.as_str());
    let licenses: BTreeSet<_> = licenses.chain([query.license.as_str()]).collect();
    Triplet {
        query: query.id,
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

fn is_held_out(style: &str) -> bool {
    HELD_OUT_STYLES.contains(&style)
}

fn concepts(image: &Image) -> impl Iterator<Item = &str> {
    std::iter::once(&image.concept).chain(&image.also).map(String::as_str)
}

/// The concepts of an image as things: a face of an animal is the animal. A photograph that shows no emoji's thing has
/// none: the last word of its caption is too little to go by.
fn things(image: &Image) -> impl Iterator<Item = &str> {
    let animal = image.subgroup.starts_with("animal-");
    let named = concepts(image).filter(|_| !image.group.is_empty());
    let things: BTreeSet<_> = named
        .map(|concept| {
            if animal {
                concept.trim_end_matches(" face")
            } else {
                concept
            }
        })
        .collect();
    things.into_iter()
}

fn shares_concept(one: &Image, other: &Image) -> bool {
    concepts(one).any(|concept| concepts(other).any(|same| same == concept))
}

/// Whether all concepts of an image agree in a property.
fn shows_one(image: &Image, property: impl Fn(&str) -> Option<String>) -> bool {
    let values: BTreeSet<_> = concepts(image).map(property).collect();
    values.len() == 1
}

/// The skin tone in a concept: "dark" in "woman: dark skin tone, red hair".
fn tone(concept: &str) -> Option<&str> {
    let (_, rest) = concept.split_once(": ")?;
    rest.split(", ").find_map(|part| part.strip_suffix(" skin tone"))
}

fn gender_phrase(concept: &str, gender: &str) -> &'static str {
    let first = concept.split([' ', ':']).next().unwrap_or_default();
    match (first, gender) {
        ("girl", _) => "a girl",
        ("boy", _) => "a boy",
        ("child", _) => "a child",
        ("women", _) => "women",
        ("men", _) => "men",
        ("people", _) => "people of any gender",
        (_, "woman") => "a woman",
        (_, "man") => "a man",
        _ => "a gender-neutral person",
    }
}
