//! The words of instructions, read from `wordings.txt`: templates per relation, looks and names per style, words per
//! subgroup. Training and dev/test have different templates, looks and names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use crate::draw::Draw;
use crate::image::Split;
use crate::labels::article;

pub(crate) const TEXT: &str = include_str!("wordings.txt");

/// All wordings.
#[derive(Debug, Default)]
pub(crate) struct Wordings {
    templates: BTreeMap<String, Pools>,
    styles: BTreeMap<String, StyleWords>,
    groups: BTreeMap<String, Vec<String>>,
}

/// Wordings for training, and others that only dev and test use.
#[derive(Debug, Default)]
struct Pools {
    train: Vec<String>,
    held_out: Vec<String>,
}

#[derive(Debug, Default)]
struct StyleWords {
    looks: Pools,
    names: Pools,
}

/// The request of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask<'a> {
    /// The same thing in this style.
    Style(&'a str),
    /// A colored image of what was sketched.
    SketchToColor,
    /// Another skin tone.
    SkinTone(&'a str),
    /// Another gender: "a woman".
    Gender(&'a str),
    /// Another color.
    Color(&'a str),
    /// Any other color.
    NotColor(&'a str),
    /// The same thing in any other style.
    NotStyle(&'a str),
    /// Something else of the same subgroup.
    Group(&'a str),
    /// The same thing in whatever style.
    SameThing,
    /// The same thing in the style of a second image, which is this one.
    StyleOfSecond(&'a str),
    /// Something else like two images, which are of this subgroup.
    LikeBoth(&'a str),
    /// A drawing in any style.
    PhotoToDrawing,
    /// A photograph.
    DrawingToPhoto,
}

impl Ask<'_> {
    /// The text that seeds the choice of words, in the spelling of the first published collection.
    pub(crate) fn seed_text(&self) -> String {
        format!("{self:?}").replacen("Color", "Colour", 1)
    }
}

/// Up to `count` different wordings of one request, from the pool that is never trained on; the same for the same seed.
/// Fewer where there are not so many, none for a style or subgroup without words.
pub fn held_out_wordings(ask: Ask<'_>, count: usize, seed: u64) -> Vec<String> {
    let known = match ask {
        Ask::Style(style) => BUILT_IN.styles.contains_key(style),
        // Nothing but training asks them.
        Ask::NotColor(_) | Ask::NotStyle(_) | Ask::SameThing | Ask::StyleOfSecond(_) | Ask::LikeBoth(_) => false,
        Ask::Group(subgroup) => BUILT_IN.has_group(subgroup),
        _ => true,
    };
    if !known {
        return Vec::new();
    }
    let mut draw = Draw::of(seed, &ask.seed_text());
    let mut found: Vec<String> = Vec::new();
    let mut seen = BTreeSet::new();
    // Draws repeat themselves: with some hundred wordings at most, this many draws find nearly all of them.
    for _ in 0..count.saturating_mul(20) {
        if found.len() == count {
            break;
        }
        let text = BUILT_IN.draw(ask, Split::Test, &mut draw).text;
        if seen.insert(text.clone()) {
            found.push(text);
        }
    }
    found
}

/// The names of a style that training never uses; none for a style without words.
pub fn held_out_style_names(style: &str) -> &'static [String] {
    let words = BUILT_IN.styles.get(style);
    words.map(|words| words.names.of(Split::Test)).unwrap_or_default()
}

static BUILT_IN: LazyLock<Wordings> = LazyLock::new(Wordings::load);

/// An instruction and its template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Worded {
    pub(crate) text: String,
    /// E.g. `style look/12`; held-out templates say so.
    pub(crate) template: String,
}

impl Wordings {
    /// The wordings of the text that is built in.
    pub(crate) fn load() -> Self {
        let mut wordings = Self::default();
        let mut section = "";
        let lines = TEXT.lines().map(str::trim);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                Some(name) => section = name,
                None => wordings.add(section, line),
            }
        }
        wordings
    }

    /// True if a subgroup has words, so that "another ..." can be asked.
    pub(crate) fn has_group(&self, subgroup: &str) -> bool {
        self.groups.contains_key(subgroup)
    }

    /// One instruction for a part of the data, drawn at random: its template, the words in it, its letters and its end.
    pub(crate) fn draw(&self, ask: Ask, split: Split, draw: &mut Draw) -> Worded {
        // Names and looks of a style take turns: two thirds describe, one third names.
        let section = match ask {
            Ask::Style(_) if draw.below(3) == 0 => "style name",
            Ask::Style(_) => "style look",
            Ask::SketchToColor => "sketch to colour",
            Ask::SkinTone(_) => "skin tone",
            Ask::Gender(_) => "gender",
            Ask::Color(_) => "colour",
            Ask::NotColor(_) => "not colour",
            Ask::NotStyle(_) => "not style",
            Ask::Group(_) => "group",
            Ask::SameThing => "same thing",
            Ask::StyleOfSecond(_) => "second style",
            Ask::LikeBoth(_) => "like both",
            Ask::PhotoToDrawing => "photo to drawing",
            Ask::DrawingToPhoto => "drawing to photo",
        };
        let templates = self.templates[section].of(split);
        let index = draw.below(templates.len());
        let text = self.fill(&templates[index], ask, split, draw);
        let section = section.replace(' ', "-");
        let (text, template) = match split {
            Split::Train => (dress(&text, draw), format!("{section}/{index}")),
            Split::Dev | Split::Test => (text, format!("{section}-held-out/{index}")),
        };
        Worded { text, template }
    }

    fn fill_style(&self, template: &str, style: &str, split: Split, draw: &mut Draw) -> String {
        let words = &self.styles[style];
        let (slot, words) = if template.contains("{name}") {
            ("{name}", words.names.of(split))
        } else {
            ("{look}", words.looks.of(split))
        };
        let word: &String = draw.pick(words);
        let text = template.replace(slot, word).replace("the the ", "the ");
        text.replace("the Google's", "Google's")
    }

    fn fill(&self, template: &str, ask: Ask, split: Split, draw: &mut Draw) -> String {
        match ask {
            Ask::Style(style) | Ask::NotStyle(style) => self.fill_style(template, style, split, draw),
            Ask::SkinTone(tone) => template.replace("{tone}", tone),
            Ask::Gender(gender) => template.replace("{gender}", gender),
            Ask::Color(color) | Ask::NotColor(color) => {
                let with_article = format!("{} {color}", article(color));
                template.replace("a {colour}", &with_article).replace("{colour}", color)
            }
            Ask::Group(subgroup) => {
                let word: &String = draw.pick(&self.groups[subgroup]);
                template
                    .replace("a {group}", &format!("{} {word}", article(word)))
                    .replace("{group}", word)
            }
            Ask::SketchToColor
            | Ask::PhotoToDrawing
            | Ask::DrawingToPhoto
            | Ask::SameThing
            | Ask::StyleOfSecond(_)
            | Ask::LikeBoth(_) => template.to_owned(),
        }
    }

    fn add(&mut self, section: &str, line: &str) {
        if section == "groups" {
            if let Some((subgroup, words)) = line.split_once(": ") {
                self.groups.insert(subgroup.to_owned(), split(words));
            }
        } else if let Some(style) = section.strip_prefix("style ").filter(|name| !is_template_section(name)) {
            let words = self.styles.entry(style.to_owned()).or_default();
            if let Some(names) = line.strip_prefix("names: ") {
                words.names.train = split(names);
            } else if let Some(names) = line.strip_prefix("held out: ") {
                words.names.held_out = split(names);
            } else if let Some(look) = line.strip_prefix("/ ") {
                words.looks.held_out.push(look.to_owned());
            } else {
                words.looks.train.push(line.to_owned());
            }
        } else if let Some(relation) = section.strip_suffix(" / held out") {
            let templates = self.templates.entry(relation.to_owned()).or_default();
            templates.held_out.push(line.to_owned());
        } else {
            let templates = self.templates.entry(section.to_owned()).or_default();
            templates.train.push(line.to_owned());
        }
    }
}

impl Pools {
    fn of(&self, split: Split) -> &[String] {
        match split {
            Split::Train => &self.train,
            Split::Dev | Split::Test => &self.held_out,
        }
    }
}

fn is_template_section(name: &str) -> bool {
    ["look", "name", "look / held out", "name / held out"].contains(&name)
}

fn split(words: &str) -> Vec<String> {
    words.split(" | ").map(str::to_owned).collect()
}

/// The text as people type it: with or without a capital, a full stop, a "please".
fn dress(text: &str, draw: &mut Draw) -> String {
    let starts = ["what ", "can ", "is there", "do you", "how ", "which "];
    let question = starts.iter().any(|start| text.starts_with(start));
    let text = match draw.below(3) {
        0 => capitalized(text),
        _ => text.to_owned(),
    };
    match draw.below(8) {
        _ if question && draw.below(2) == 0 => text + "?",
        0 | 1 if !question => text + ".",
        2 if !question => text + "!",
        3 if !question && !text.contains("please") => text + ", please",
        4 => text.to_lowercase(),
        _ => text,
    }
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::DRAWINGS;

    /// With the fewest held-out wordings: negations are asked in training only.
    const TEMPLATES: [(&str, &str, usize); 14] = [
        ("style look", "{look}", 6),
        ("style name", "{name}", 6),
        ("sketch to colour", "", 6),
        ("skin tone", "{tone}", 6),
        ("gender", "{gender}", 6),
        ("colour", "{colour}", 6),
        ("not colour", "{colour}", 0),
        ("not style", "{name}", 0),
        ("same thing", "", 0),
        ("second style", "", 0),
        ("like both", "", 0),
        ("group", "{group}", 6),
        ("photo to drawing", "", 6),
        ("drawing to photo", "", 6),
    ];

    fn check_pools(name: &str, pools: &Pools, train: usize, held_out: usize) {
        let all: BTreeSet<_> = pools
            .train
            .iter()
            .chain(&pools.held_out)
            .map(|text| text.to_lowercase())
            .collect();
        assert_eq!(
            all.len(),
            pools.train.len() + pools.held_out.len(),
            "a wording of `{name}` stands twice"
        );
        assert!(
            pools.train.len() >= train,
            "`{name}` has {} wordings for training",
            pools.train.len()
        );
        assert!(
            pools.held_out.len() >= held_out,
            "`{name}` has {} held-out wordings",
            pools.held_out.len()
        );
    }

    #[test]
    fn each_relation_has_enough_wordings_and_training_shares_none_with_test() {
        let wordings = Wordings::load();
        assert_eq!(wordings.templates.len(), TEMPLATES.len());
        for (name, slot, held_out) in TEMPLATES {
            let pools = &wordings.templates[name];
            check_pools(name, pools, 25, held_out);
            assert!(
                pools
                    .train
                    .iter()
                    .chain(&pools.held_out)
                    .all(|text| text.contains(slot)),
                "{name}"
            );
        }
    }

    #[test]
    fn each_style_has_its_own_words() {
        let wordings = Wordings::load();
        assert_eq!(wordings.styles.len(), DRAWINGS.len());
        let mut seen = BTreeSet::new();
        for package in &DRAWINGS {
            let words = &wordings.styles[package.style];
            check_pools(package.style, &words.looks, 8, 3);
            check_pools(package.style, &words.names, 3, 2);
            for pools in [&words.looks, &words.names] {
                for words in pools.train.iter().chain(&pools.held_out) {
                    assert!(seen.insert(words.to_lowercase()), "`{words}` names two styles");
                }
            }
        }
    }

    #[test]
    fn one_request_has_many_held_out_wordings() {
        let trained: BTreeSet<String> = (0..500)
            .map(|seed| {
                Wordings::load()
                    .draw(Ask::Color("red"), Split::Train, &mut Draw::new(seed))
                    .text
            })
            .collect();
        let texts = held_out_wordings(Ask::Color("red"), 6, 1);
        assert_eq!(texts.iter().collect::<BTreeSet<_>>().len(), 6);
        assert!(texts.iter().all(|text| text.contains("red") && !trained.contains(text)));
        assert_eq!(held_out_wordings(Ask::Color("red"), 6, 1), texts);
        assert_eq!(held_out_wordings(Ask::Color("red"), 99, 1).len(), 7, "all there are");
        assert_eq!(held_out_wordings(Ask::Style("noto"), 6, 1).len(), 6);
        for unknown in [Ask::Style("no such style"), Ask::Group("no such group")] {
            assert!(held_out_wordings(unknown, 6, 1).is_empty());
        }
        assert_eq!(held_out_style_names("noto"), ["Noto Color Emoji", "the Google emoji"]);
        assert!(held_out_style_names("no such style").is_empty());
    }

    #[test]
    fn slots_are_filled() {
        let wordings = Wordings::load();
        let asks = [
            Ask::Style("noto"),
            Ask::SketchToColor,
            Ask::SkinTone("dark"),
            Ask::Gender("a woman"),
            Ask::Color("orange"),
            Ask::Group("animal-bug"),
            Ask::PhotoToDrawing,
            Ask::DrawingToPhoto,
        ];
        for seed in 0..300 {
            for ask in asks {
                for split in [Split::Train, Split::Test] {
                    let text = wordings.draw(ask, split, &mut Draw::new(seed)).text;
                    assert!(!text.is_empty() && !text.contains(['{', '}']), "{text}");
                    assert!(!text.contains("a orange") && !text.contains("a insect"), "{text}");
                    assert_eq!(text, wordings.draw(ask, split, &mut Draw::new(seed)).text);
                }
            }
        }
    }
}
