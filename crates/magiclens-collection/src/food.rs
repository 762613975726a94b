//! Photographs of foods in several varieties, from the Indian Food Composition Tables 2017: "the red variety" of the food
//! in the image. They are never trained on and have tables of their own, so that no other gallery changes.
//!
//! The names say which food and which variety: "Radish, round, red skin". A variety is asked for where all its words can be
//! seen in an image ("round", "red skin"); names of cultivars ("banganapalli") are not, such images are distractors.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use magiclens_data::{ImageId, Provenance, Triplet};

use crate::draw::Draw;
use crate::image::{LabeledImage, Split};
use crate::labels::{Label, has_word};
use crate::packages::{FOOD_IMAGES, FOOD_NAMES, PHOTO_STYLE};
use crate::report::{Failed, Missing};
use crate::sources::{open_npm, photo_item};
use crate::store::{Art, Item, Stored};

/// Another variety of the same food.
pub const FOOD: &str = "food";

/// The license of the photographs; they are fetched when a collection is made and stay there.
const LICENSE: &str = "AGPL-3.0-only";
/// The food groups of the tables, for codes that begin with A, B and so on.
const GROUPS: &str = "cereal legume leaf vegetable fruit root spice nut sugar mushroom other milk egg poultry meat fish \
    shellfish mollusc fish oil";
/// Words of varieties that can be seen: colors, shapes, sizes, states, surfaces.
const SEEN: &str = "black brown white red green yellow yellowish orange violet pink grey golden pale dark round oval elongate \
    elongated long short cylindrical jagged smooth broad lean big small king size dry dried fresh raw ripe whole \
    puffed milled parboiled refined roasted bulgar tender mature processed seeded seedless ribbed spotted striped \
    hard and spinous teeth";
/// The features that these words describe, the last word of "red skin".
const FEATURES: &str = "skin flesh shell ridges cloves nose head snub hammer";
/// Parts of a plant and what is made of it.
const PARTS: &str = "leaves seed seeds stem stalk flower kernel flour flakes dal semolina vermicelli pulp";
const COLORS: &str = "black brown white red green yellow orange violet pink grey golden";
/// Templates that ask for a variety.
const VARIETY: [&str; 4] = [
    "the {variety} variety",
    "the same food, but {variety}",
    "another variety of it: {variety}",
    "not this one, the {variety} kind",
];
/// Templates for varieties that are a part of the plant.
const PART: [&str; 4] = [
    "the {variety} of this food",
    "the same food, but {variety}",
    "its {variety}",
    "not this, but its {variety}",
];

/// The photographs of the packages, before they are stored, and their names.
#[derive(Debug, Default)]
pub(crate) struct Foods {
    pub(crate) items: Vec<Item>,
    names: Vec<Name>,
}

/// A name in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    /// "radish".
    food: String,
    /// "round", "red skin".
    variety: BTreeSet<String>,
}

/// Reads both packages; a missing one is noted, and then there are no foods.
pub(crate) fn gather(packages_dir: &Path, missing: &mut Vec<Missing>) -> Foods {
    let mut note = |package: &str, reason| missing.push(Missing::new(package, reason));
    let opened = [FOOD_IMAGES, FOOD_NAMES]
        .map(|package| open_npm(packages_dir, package).map_err(|reason| note(package, reason)));
    let [Ok((images, version)), Ok((names, _))] = opened else {
        return Foods::default();
    };
    let table = fs_err::read_to_string(names.join("index.csv")).map_err(|error| error.to_string());
    match table.and_then(|table| read_names(&table)) {
        Ok(names) => foods(&images, &version, &names),
        Err(reason) => {
            note(FOOD_NAMES, reason);
            Foods::default()
        }
    }
}

/// The rows of both tables: an image each, and for each what can be asked of it. Identical photographs are one, with
/// the first name.
pub(crate) fn tables(
    foods: &Foods,
    stored: &[Result<Stored, String>],
    seed: u64,
    failed: &mut Vec<Failed>,
) -> (Vec<LabeledImage>, Vec<Triplet>) {
    let mut seen: BTreeSet<ImageId> = BTreeSet::new();
    let (mut images, mut names) = (Vec::new(), Vec::new());
    for ((item, name), stored) in foods.items.iter().zip(&foods.names).zip(stored) {
        match stored {
            Ok(stored) if seen.insert(stored.id) => {
                images.push(LabeledImage {
                    split: Split::Test,
                    ..stored.labeled(item)
                });
                names.push(name);
            }
            Ok(_) => {}
            Err(reason) => failed.push(item.failed(reason)),
        }
    }
    let triplets = triplets(&images, &names, seed);
    (images, triplets)
}

fn foods(images: &Path, version: &str, names: &BTreeMap<String, String>) -> Foods {
    let source = format!("npm:{FOOD_IMAGES}@{version}");
    let mut foods = Foods::default();
    for (code, text) in names {
        let file = images.join(format!("assets/{code}.jpeg"));
        // An image that stands for all varieties shows one of them, under a wrong name.
        let Some(name) = Name::parse(text).filter(|_| file.is_file()) else {
            continue;
        };
        let label = label(code, text, &name);
        let (license, place) = (LICENSE.to_owned(), format!("{FOOD_IMAGES}/{code}"));
        let item = photo_item(Art::File(file), label, PHOTO_STYLE, &source, license, place);
        foods.items.push(item);
        foods.names.push(name);
    }
    foods
}

fn label(code: &str, text: &str, name: &Name) -> Label {
    let words = text.split(|letter: char| !letter.is_alphanumeric());
    let group = code.bytes().next().and_then(|letter| letter.checked_sub(b'A'));
    let group = group.and_then(|number| GROUPS.split(' ').nth(number.into()));
    let mut colors = COLORS.split(' ');
    let color = colors.find(|color| name.variety.iter().any(|part| has_word(part, color)));
    Label {
        concept: text.to_lowercase(),
        root: name.food.clone(),
        caption: text.to_lowercase(),
        tags: words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect(),
        group: "food-drink".to_owned(),
        subgroup: group.map(|group| format!("food-{group}")).unwrap_or_default(),
        color: color.map(str::to_owned),
        ..Label::default()
    }
}

/// One question for each image and each variety of its food that it does not show.
fn triplets(images: &[LabeledImage], names: &[&Name], seed: u64) -> Vec<Triplet> {
    let mut foods: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, name) in names.iter().enumerate() {
        foods.entry(&name.food).or_default().push(row);
    }
    let mut triplets = Vec::new();
    for (row, query) in names.iter().enumerate() {
        let family = &foods[query.food.as_str()];
        let asked: BTreeSet<&BTreeSet<String>> = family.iter().map(|row| &names[*row].variety).collect();
        for asked in asked {
            if can_be_seen(asked) && !query.shows(asked) {
                triplets.push(triplet(images, names, family, row, asked, seed));
            }
        }
    }
    triplets
}

fn triplet(
    images: &[LabeledImage],
    names: &[&Name],
    family: &[usize],
    row: usize,
    asked: &BTreeSet<String>,
    seed: u64,
) -> Triplet {
    let query = &images[row];
    let others = family.iter().copied().filter(|other| *other != row);
    let (right, wrong): (Vec<usize>, Vec<usize>) = others.partition(|other| names[*other].shows(asked));
    let sorted = |rows: Vec<usize>| {
        let mut ids: Vec<ImageId> = rows.into_iter().map(|row| images[row].id).collect();
        ids.sort_unstable();
        ids
    };
    let phrase = phrase(asked);
    let (section, templates) = if asked.iter().any(|part| has_word(PARTS, part)) {
        ("food-part", PART)
    } else {
        ("food", VARIETY)
    };
    let template = Draw::of(seed, &format!("{} {phrase}", query.id)).below(templates.len());
    Triplet {
        query: query.id,
        second: None,
        instruction: templates[template].replace("{variety}", &phrase),
        targets: sorted(right),
        relation: FOOD.to_owned(),
        hard_negatives: sorted(wrong),
        provenance: Provenance {
            source: query.source.clone(),
            generator: format!("template:{section}/{template}"),
            license: query.license.clone(),
            ..Provenance::default()
        },
    }
}

impl Name {
    /// "Zucchini, yellow" and "Zucchini green" are zucchini that are yellow and green; nothing for "all varieties".
    fn parse(text: &str) -> Option<Self> {
        let text = text.to_lowercase().replace("gauva", "guava").replace(" color", "");
        if text.contains("all varieties") {
            return None;
        }
        let text = without_remark(&text);
        let mut parts = text.split(',').map(without_number);
        let mut head: Vec<&str> = parts.next()?.split_whitespace().collect();
        let mut variety: BTreeSet<String> = parts.filter(|part| !part.is_empty()).map(str::to_owned).collect();
        while head.len() > 1
            && let Some(word) = head.pop_if(|word| is_seen(word))
        {
            variety.insert(word.to_owned());
        }
        let food = head.join(" ");
        let food = food.strip_suffix('s').unwrap_or(&food).to_owned();
        (!food.is_empty()).then_some(Self { food, variety })
    }

    /// True if an image of this name shows everything that is asked for.
    fn shows(&self, asked: &BTreeSet<String>) -> bool {
        self.variety.is_superset(asked)
    }
}

fn can_be_seen(variety: &BTreeSet<String>) -> bool {
    let mut words = variety.iter().flat_map(|part| part.split(' '));
    !variety.is_empty() && words.all(is_seen)
}

fn is_seen(word: &str) -> bool {
    [SEEN, FEATURES, PARTS].iter().any(|words| has_word(words, word))
}

/// "green leaves" of "leaves" and "green"; "round, red skin".
fn phrase(variety: &BTreeSet<String>) -> String {
    let of = |rank: usize| -> Vec<&str> {
        let words = variety.iter().map(String::as_str);
        words.filter(|part| said_last(part) == rank).collect()
    };
    let described = [of(0), of(1)].concat().join(", ");
    format!("{described} {}", of(2).join(" ")).trim().to_owned()
}

/// Adjectives come first, then what they are not said of but has its own, then the part of the plant.
fn said_last(part: &str) -> usize {
    let last = part.rsplit(' ').next().unwrap_or(part);
    match part.contains(' ') {
        _ if has_word(PARTS, part) => 2,
        true if has_word(FEATURES, last) || has_word(PARTS, last) => 1,
        _ => 0,
    }
}

/// The text without "(sugar baby)".
fn without_remark(text: &str) -> String {
    match (text.find('('), text.find(')')) {
        (Some(open), Some(close)) if open < close => format!("{}{}", &text[..open].trim_end(), &text[close + 1..]),
        _ => text.to_owned(),
    }
}

/// "green" of "green-1": numbered varieties have no words of their own.
fn without_number(part: &str) -> &str {
    let part = part.trim();
    let rest = part.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let is_numbered = rest.len() < part.len();
    if is_numbered {
        rest.trim_end_matches(['-', ' '])
    } else {
        part
    }
}

/// Codes and names of a table with these two columns first, as CSV with quotes.
fn read_names(table: &str) -> Result<BTreeMap<String, String>, String> {
    let mut lines = table.lines();
    match lines.next().map(fields).as_deref() {
        Some([code, name, ..]) if code == "code" && name == "name" => {}
        _ => return Err("`index.csv` does not begin with the columns `code` and `name`".to_owned()),
    }
    let rows = lines.map(fields).filter_map(|fields| {
        let mut fields = fields.into_iter();
        Some((fields.next()?, fields.next()?))
    });
    // A code is a letter and digits; whatever else stands there must not become a path.
    let is_code = |code: &str| code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    Ok(rows.filter(|(code, _)| is_code(code)).collect())
}

fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        let field = fields.len() - 1;
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                fields[field].push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            letter => fields[field].push(letter),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(parts: &[&str]) -> BTreeSet<String> {
        parts.iter().map(|part| part.to_string()).collect()
    }

    #[test]
    fn names_say_food_and_variety() {
        let check = |text: &str, food: &str, variety: &[&str], seen: bool| {
            let name = Name::parse(text).unwrap();
            assert_eq!((name.food.as_str(), &name.variety), (food, &set(variety)), "{text}");
            assert_eq!(can_be_seen(&name.variety), seen, "{text}");
        };
        check("Radish, round, red skin", "radish", &["round", "red skin"], true);
        check("Zucchini green", "zucchini", &["green"], true);
        check("Cucumber green, short", "cucumber", &["green", "short"], true);
        check("Field beans, tender, broad", "field bean", &["tender", "broad"], true);
        check("Chillies, green-3", "chillie", &["green"], true);
        check(
            "Water melon, dark green (sugar baby)",
            "water melon",
            &["dark green"],
            true,
        );
        check("Arecanut, dried, red color", "arecanut", &["dried", "red"], true);
        check("Gauva, pink flesh", "guava", &["pink flesh"], true);
        check("Mango, ripe, neelam", "mango", &["ripe", "neelam"], false);
        check("Brinjal 14", "brinjal", &[], false);
        check("Red snapper", "red snapper", &[], false);
        assert_eq!(Name::parse("Chillies, green - all varieties"), None);
        assert_eq!(Name::parse(""), None);
    }

    #[test]
    fn varieties_are_said_in_natural_order() {
        assert_eq!(phrase(&set(&["leaves", "green"])), "green leaves");
        assert_eq!(phrase(&set(&["round", "red skin"])), "round, red skin");
        assert_eq!(phrase(&set(&["leaves", "green stem"])), "green stem leaves");
        assert_eq!(phrase(&set(&["seeds"])), "seeds");
    }

    #[test]
    fn tables_are_read_with_their_quotes() {
        let names = read_names("code,name,scie\n\"A1\",\"Bean, \"\"red\"\"\",x\nB2,Pea,\n../x,Bad,\n").unwrap();
        let found: Vec<_> = names
            .iter()
            .map(|(code, name)| (code.as_str(), name.as_str()))
            .collect();
        assert_eq!(found, [("A1", "Bean, \"red\""), ("B2", "Pea")]);
        assert!(read_names("id,name\n").unwrap_err().contains("`code`"));
        assert!(read_names("").is_err());
    }
}
