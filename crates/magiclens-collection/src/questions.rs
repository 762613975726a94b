//! The questions that can be asked about an image, and the images that answer them.

use std::collections::{BTreeSet, HashMap};

use crate::draw::Draw;
use crate::image::{ImageKind, LabeledImage, Split};
use crate::labels::{without_color, without_gender, without_tone};
use crate::packages::{DRAWINGS, DrawingPackage, HELD_OUT_STYLES, Look, of_style};
use crate::relation::{
    COLOR, DRAWING_TO_PHOTO, GENDER, GROUP, LIKE_BOTH, NOT_COLOR, NOT_STYLE, PHOTO_TO_DRAWING, SAME_THING,
    SKETCH_TO_COLOR, SKIN_TONE, STYLE, STYLE_FAMILY, STYLE_OF_SECOND, STYLE_UNSEEN,
};
use crate::wordings::{Ask, Wordings};

/// A request about an image, and all right answers. Numbers are places in the list of images.
#[derive(Clone, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) query: usize,
    /// Another image that is part of the request.
    pub(crate) second: Option<usize>,
    pub(crate) relation: &'static str,
    pub(crate) ask: Ask<'a>,
    pub(crate) targets: BTreeSet<usize>,
    pub(crate) negatives: Vec<usize>,
}

/// All questions about the images of a part that the part can answer.
pub(crate) fn questions<'a>(
    images: &'a [LabeledImage],
    split: Split,
    wordings: &Wordings,
    seed: u64,
) -> Vec<Question<'a>> {
    let index = Index::new(images, split);
    let mut questions = Vec::new();
    for &query in &index.members {
        let image = &images[query];
        let mut asker = Asker {
            index: &index,
            query,
            image,
            questions,
        };
        if image.kind == ImageKind::Photo {
            asker.drawings_of_photo();
        } else {
            asker.styles(&mut Draw::of(seed, &format!("questions {}", image.id)));
            for relation in [SKIN_TONE, GENDER, COLOR] {
                asker.attribute(relation);
            }
            if split == Split::Train {
                asker.other_colors();
                asker.other_styles();
                asker.same_thing(&mut Draw::of(seed, &format!("same {}", image.id)));
                asker.two_images(&mut Draw::of(seed, &format!("second {}", image.id)));
            }
            if wordings.has_group(&image.subgroup) {
                asker.group();
            }
            let photos = index.same_things(image, ImageKind::Photo);
            asker.ask(DRAWING_TO_PHOTO, Ask::DrawingToPhoto, photos, Vec::new());
        }
        questions = asker.questions;
    }
    questions
}

/// The images of one part, by what they show and how.
#[derive(Default)]
struct Index<'a> {
    images: &'a [LabeledImage],
    members: Vec<usize>,
    /// Drawings by style and concept.
    drawings: HashMap<(&'a str, &'a str), Vec<usize>>,
    /// Images by kind and by concept, "dog face" being a dog.
    things: HashMap<(ImageKind, &'a str), Vec<usize>>,
    /// Drawings by the relation that leads from one to the other, style, and the concept without what differs.
    siblings: HashMap<(&'static str, &'a str, String), Vec<usize>>,
    /// Colored drawings by root, in all styles.
    colored: HashMap<&'a str, Vec<usize>>,
    /// Drawings by style.
    styles: HashMap<&'a str, Vec<usize>>,
    /// Drawings by style and subgroup.
    groups: HashMap<(&'a str, &'a str), Vec<usize>>,
}

impl<'a> Index<'a> {
    fn new(images: &'a [LabeledImage], split: Split) -> Self {
        let mut index = Self {
            images,
            members: (0..images.len()).filter(|&at| images[at].split == split).collect(),
            ..Self::default()
        };
        for at in index.members.clone() {
            index.add(at);
        }
        index
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
        for concept in image.concepts() {
            self.drawings.entry((style, concept)).or_default().push(at);
        }
        let Some(package) = of_style(style) else { return };
        for relation in [SKIN_TONE, GENDER, COLOR] {
            if let Some(rest) = shared(relation, image)
                && has_siblings(relation, image, package)
            {
                self.siblings.entry((relation, style, rest)).or_default().push(at);
            }
        }
        if has_siblings(COLOR, image, package) {
            self.colored.entry(&image.root).or_default().push(at);
        }
        self.styles.entry(style).or_default().push(at);
        self.groups.entry((style, &image.subgroup)).or_default().push(at);
    }

    /// The drawings of a concept in a style.
    fn drawn<'s>(&'s self, style: &'s str, concept: &'s str) -> &'s [usize] {
        self.drawings.get(&(style, concept)).map_or(&[], Vec::as_slice)
    }

    /// Everything a drawing shows, in another style. Styles without tones answer with the image that has none.
    fn in_style(&self, image: &LabeledImage, package: &DrawingPackage) -> BTreeSet<usize> {
        let drawn = image.concepts().flat_map(|concept| self.drawn(package.style, concept));
        let same: BTreeSet<_> = drawn.copied().collect();
        if same.is_empty() && package.look != Look::Color && image.skin_tone.is_some() {
            let concept = without_tone(&image.concept);
            return self.drawn(package.style, &concept).iter().copied().collect();
        }
        same
    }

    fn same_things(&self, image: &LabeledImage, kind: ImageKind) -> BTreeSet<usize> {
        let same = |thing| self.things.get(&(kind, thing)).into_iter().flatten().copied();
        things(image).flat_map(same).collect()
    }

    /// The drawings that a relation leads to, with the image itself; none if it is not among them.
    fn siblings(&self, relation: &'static str, at: usize) -> &[usize] {
        let image = &self.images[at];
        let key = shared(relation, image).map(|rest| (relation, image.style.as_str(), rest));
        let siblings = key.and_then(|key| self.siblings.get(&key));
        let siblings = siblings.filter(|siblings| siblings.contains(&at));
        siblings.map_or(&[], Vec::as_slice)
    }
}

/// The part of the concept that siblings of a relation share.
fn shared(relation: &str, image: &LabeledImage) -> Option<String> {
    match relation {
        SKIN_TONE => Some(without_tone(&image.concept)),
        GENDER => Some(without_gender(&image.concept)),
        _ => without_color(&image.concept).map(|(rest, _)| rest),
    }
}

fn has_siblings(relation: &str, image: &LabeledImage, package: &DrawingPackage) -> bool {
    match relation {
        SKIN_TONE => shows_one(image, |concept| tone(concept).map(str::to_owned)),
        // An image that stands for two genders of one role answers neither.
        GENDER => image.gender.is_some() && shows_one(image, |concept| Some(concept.to_owned())),
        // A red circle without colors is no red circle.
        _ => package.look == Look::Color && image.color.is_some() && image.also.is_empty(),
    }
}

/// The questions about one image.
struct Asker<'i, 'a> {
    index: &'i Index<'a>,
    query: usize,
    image: &'a LabeledImage,
    questions: Vec<Question<'a>>,
}

impl<'a> Asker<'_, 'a> {
    /// Adds a question if anything but the query answers it.
    fn ask(&mut self, relation: &'static str, ask: Ask<'a>, mut targets: BTreeSet<usize>, negatives: Vec<usize>) {
        targets.remove(&self.query);
        if !targets.is_empty() {
            self.questions.push(Question {
                query: self.query,
                second: None,
                relation,
                ask,
                targets,
                negatives,
            });
        }
    }

    fn styles(&mut self, draw: &mut Draw) {
        for package in DRAWINGS.iter().filter(|package| package.style != self.image.style) {
            let targets = self.index.in_style(self.image, package);
            let relation = if is_held_out(package.style) || is_held_out(&self.image.style) {
                STYLE_UNSEEN
            } else if package.family == self.image.family {
                STYLE_FAMILY
            } else {
                STYLE
            };
            let negatives = self.style_negatives(package.style, &targets, draw);
            self.ask(relation, Ask::Style(package.style), targets, negatives);
        }
        if of_style(&self.image.style).is_some_and(|package| package.look == Look::Line) {
            let colored = DRAWINGS.iter().filter(|package| package.look == Look::Color);
            let targets = colored.flat_map(|package| self.index.in_style(self.image, package));
            self.ask(SKETCH_TO_COLOR, Ask::SketchToColor, targets.collect(), Vec::new());
        }
    }

    /// Two other things of the subgroup in the right style, and the right thing in a wrong style.
    fn style_negatives(&self, style: &str, targets: &BTreeSet<usize>, draw: &mut Draw) -> Vec<usize> {
        let (index, image) = (self.index, self.image);
        let mut negatives = Vec::new();
        if let Some(group) = index.groups.get(&(style, image.subgroup.as_str())) {
            for _ in 0..4 {
                let at = *draw.pick(group);
                let other = &index.images[at];
                let wrong = other.root != image.root || !other.shows_same_concept(image);
                if negatives.len() < 2 && wrong && !targets.contains(&at) && !negatives.contains(&at) {
                    negatives.push(at);
                }
            }
        }
        let package = draw.pick(&DRAWINGS);
        if package.style != style && package.style != image.style {
            let wrong_style = index.in_style(image, package);
            negatives.extend(wrong_style.into_iter().filter(|at| !targets.contains(at)).take(1));
        }
        negatives
    }

    /// One question for each value that siblings of the query have and it has not; the siblings with other values are
    /// its hard negatives.
    fn attribute(&mut self, relation: &'static str) {
        let index = self.index;
        let siblings = index.siblings(relation, self.query);
        let value = |at: usize| Ask::of(relation, &index.images[at]);
        let mut asked = vec![value(self.query)];
        for &sibling in siblings {
            let wanted = value(sibling);
            let Some(ask) = wanted.filter(|_| !asked.contains(&wanted)) else {
                continue;
            };
            asked.push(wanted);
            let (right, wrong): (Vec<usize>, Vec<usize>) = siblings.iter().partition(|at| value(**at) == wanted);
            let negatives = wrong.into_iter().filter(|at| *at != self.query).take(4).collect();
            self.ask(relation, ask, right.into_iter().collect(), negatives);
        }
    }

    /// One question for each color of the thing: not this one. The images of that color are its hard negatives.
    fn other_colors(&mut self) {
        let images = self.index.images;
        let family = self.index.colored.get(self.image.root.as_str());
        let family: &[usize] = family
            .filter(|family| family.contains(&self.query))
            .map_or(&[], Vec::as_slice);
        let colors: BTreeSet<&str> = family.iter().filter_map(|at| images[*at].color.as_deref()).collect();
        for color in colors {
            let is_of_color = |at: &&usize| images[**at].color.as_deref() == Some(color);
            let (excluded, others): (Vec<usize>, Vec<usize>) = family.iter().partition(is_of_color);
            self.ask_other(NOT_COLOR, Ask::NotColor(color), others, excluded);
        }
    }

    /// One question for each style of another family that has the thing: not this one.
    fn other_styles(&mut self) {
        let of_style = |package: &DrawingPackage| (package.style, self.index.in_style(self.image, package));
        let drawn: Vec<(&str, BTreeSet<usize>)> = DRAWINGS.iter().map(of_style).collect();
        let family = self.image.family.as_str();
        for package in DRAWINGS.iter().filter(|package| package.family != family) {
            let (excluded, others): (Vec<_>, Vec<_>) = drawn.iter().partition(|(style, _)| *style == package.style);
            let all = |sets: Vec<&(&str, BTreeSet<usize>)>| sets.iter().flat_map(|(_, rows)| rows).copied().collect();
            self.ask_other(NOT_STYLE, Ask::NotStyle(package.style), all(others), all(excluded));
        }
    }

    /// One question for the thing in any style of another family. Other things in the query's own style are its hard negatives.
    fn same_thing(&mut self, draw: &mut Draw) {
        let index = self.index;
        let others = DRAWINGS.iter().filter(|package| package.family != self.image.family);
        let targets = others.flat_map(|package| index.in_style(self.image, package)).collect();
        let own = index
            .styles
            .get(self.image.style.as_str())
            .map_or(&[][..], Vec::as_slice);
        let negatives: BTreeSet<usize> = (0..2).filter_map(|_| self.something_else(own, draw)).collect();
        self.ask(SAME_THING, Ask::SameThing, targets, negatives.into_iter().collect());
    }

    /// A question for all but what is excluded, if there is something to exclude.
    fn ask_other(&mut self, relation: &'static str, ask: Ask<'a>, others: Vec<usize>, excluded: Vec<usize>) {
        let negatives: Vec<usize> = excluded.into_iter().filter(|at| *at != self.query).take(4).collect();
        if !negatives.is_empty() {
            self.ask(relation, ask, others.into_iter().collect(), negatives);
        }
    }

    fn group(&mut self) {
        let others = self.others_of_group().into_iter().collect();
        self.ask(GROUP, Ask::Group(&self.image.subgroup), others, Vec::new());
    }

    /// Other things of the query's subgroup in its style.
    fn others_of_group(&self) -> Vec<usize> {
        let key = (self.image.style.as_str(), self.image.subgroup.as_str());
        let others = self.index.groups.get(&key).into_iter().flatten().copied();
        others
            .filter(|&at| self.index.images[at].root != self.image.root)
            .collect()
    }

    /// Questions of two images: for each style of another family the thing in the style of an image of something else, and what is like
    /// the query and another thing of its subgroup.
    fn two_images(&mut self, draw: &mut Draw) {
        let index = self.index;
        let images = index.images;
        for package in DRAWINGS.iter().filter(|package| package.family != self.image.family) {
            let targets = index.in_style(self.image, package);
            let shown = index.styles.get(package.style).map_or(&[][..], Vec::as_slice);
            let Some(second) = self.something_else(shown, draw).filter(|_| !targets.is_empty()) else {
                continue;
            };
            let mut negatives = self.style_negatives(package.style, &targets, draw);
            negatives.push(second);
            self.ask_beside(
                second,
                STYLE_OF_SECOND,
                Ask::StyleOfSecond(package.style),
                targets,
                negatives,
            );
        }
        let mut others = self.others_of_group();
        if let Some(second) = self.something_else(&others, draw) {
            others.retain(|at| images[*at].root != images[second].root);
            let targets = others.into_iter().collect();
            self.ask_beside(
                second,
                LIKE_BOTH,
                Ask::LikeBoth(&self.image.subgroup),
                targets,
                Vec::new(),
            );
        }
    }

    /// One of some images that shows another thing than the query, if a few draws find one.
    fn something_else(&self, from: &[usize], draw: &mut Draw) -> Option<usize> {
        const DRAWS: usize = 8;
        let images = self.index.images;
        let is_other = |at: &usize| images[*at].root != self.image.root;
        let mut draws = (0..DRAWS.min(from.len())).map(|_| *draw.pick(from));
        draws.find(is_other)
    }

    /// [`Asker::ask`] beside a second image.
    fn ask_beside(
        &mut self,
        second: usize,
        relation: &'static str,
        ask: Ask<'a>,
        targets: BTreeSet<usize>,
        negatives: Vec<usize>,
    ) {
        let asked = self.questions.len();
        self.ask(relation, ask, targets, negatives);
        self.questions[asked..]
            .iter_mut()
            .for_each(|question| question.second = Some(second));
    }

    fn drawings_of_photo(&mut self) {
        let drawings = self.index.same_things(self.image, ImageKind::Drawing);
        for package in &DRAWINGS {
            let of_style = |at: &usize| self.index.images[*at].style == package.style;
            let targets = drawings.iter().copied().filter(of_style).collect();
            let others = drawings.iter().copied().filter(|at| !of_style(at)).take(2).collect();
            self.ask(PHOTO_TO_DRAWING, Ask::Style(package.style), targets, others);
        }
        self.ask(PHOTO_TO_DRAWING, Ask::PhotoToDrawing, drawings, Vec::new());
    }
}

fn is_held_out(style: &str) -> bool {
    HELD_OUT_STYLES.contains(&style)
}

/// The concepts of an image as things: a face of an animal is the animal. A photograph that shows no emoji's thing has
/// none: the last word of its caption is too little to go by.
fn things(image: &LabeledImage) -> impl Iterator<Item = &str> {
    let animal = image.subgroup.starts_with("animal-");
    let named = image.concepts().filter(|_| !image.group.is_empty());
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

/// True if all concepts of an image agree in a property.
fn shows_one(image: &LabeledImage, property: impl Fn(&str) -> Option<String>) -> bool {
    image.concepts().map(property).collect::<BTreeSet<_>>().len() == 1
}

/// The skin tone in a concept: "dark" in "woman: dark skin tone, red hair".
fn tone(concept: &str) -> Option<&str> {
    let (_, rest) = concept.split_once(": ")?;
    rest.split(", ").find_map(|part| part.strip_suffix(" skin tone"))
}
