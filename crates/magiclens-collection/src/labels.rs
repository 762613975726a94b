//! The labels of emoji: concept, root, gender, tone, color, groups, tags, a caption.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;

/// The label of one emoji, whatever its style.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Label {
    /// The place in Unicode's order: of identical images the first one names the image.
    pub(crate) order: u32,
    /// The whole label: "woman astronaut: dark skin tone".
    pub(crate) concept: String,
    /// The label without color, gender, tone and direction; related people share one root.
    pub(crate) root: String,
    /// A natural phrase: "woman astronaut with dark skin tone".
    pub(crate) caption: String,
    /// Search words.
    pub(crate) tags: Vec<String>,
    /// The large group, e.g. "people-body".
    pub(crate) group: String,
    /// The small group, e.g. "person-role".
    pub(crate) subgroup: String,
    /// "light" to "dark".
    pub(crate) skin_tone: Option<String>,
    /// "man", "woman" or "person".
    pub(crate) gender: Option<String>,
    /// A color word of the label.
    pub(crate) color: Option<String>,
}

/// The labels of all emoji, by [`key`].
#[derive(Debug, Default)]
pub(crate) struct Labels {
    by_key: HashMap<String, Label>,
    /// Keys of emoji that are known but not wanted.
    left_out: HashSet<String>,
}

/// Skin tones, light to dark, as they are written in labels and columns.
pub(crate) const SKIN_TONES: [&str; 5] = ["light", "medium-light", "medium", "medium-dark", "dark"];
/// The group of flags.
pub(crate) const FLAGS: &str = "flags";

/// The root that all single persons share.
const PERSON_ROOT: &str = "person";
/// The root of couples and families.
const FAMILY_ROOT: &str = "family";
const PERSON_SUBGROUPS: &str = "person person-gesture person-role person-activity person-sport person-resting";
const COLORS: &str = "red|orange|yellow|green|blue|purple|brown|black|white|grey|pink|light blue";
/// These words may be left out of a root without changing what is shown.
const DIRECTIONS: &str = "left right leftwards rightwards left-facing right-facing up down";
const SIZES: &str = "large medium medium-small small";
/// Words that make a caption sound wrong with an article.
const WITHOUT_ARTICLE: &str = "bread bacon sushi oden salt butter popcorn rice falafel ice fog fire wood money soap bubbles dna yarn thread \
    tennis bowling lacrosse badminton garlic spaghetti milk coral chopsticks";

/// An emoji in `data.json` of emojibase.
#[derive(Deserialize)]
pub(crate) struct Emoji {
    label: String,
    hexcode: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    order: u32,
    group: Option<u32>,
    subgroup: Option<u32>,
    tone: Option<Tone>,
    #[serde(default)]
    skins: Vec<Emoji>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Tone {
    One(usize),
    Several(#[expect(dead_code, reason = "only that there are several counts")] Vec<usize>),
}

/// The names of groups, as in `groups.json` of emojibase.
#[derive(Deserialize)]
pub(crate) struct Groups {
    groups: BTreeMap<u32, String>,
    subgroups: BTreeMap<u32, String>,
}

/// The hex code of an emoji in one form: upper case, `-` between code points, no variation selectors.
pub(crate) fn key(hexcode: &str) -> String {
    let points = hexcode.split('-').map(str::to_ascii_uppercase);
    let points = points.filter(|point| point != "FE0F" && point != "FE0E");
    points.collect::<Vec<_>>().join("-")
}

impl Labels {
    /// The labels of emoji and their skins. Emoji without a group, parts of emoji, and people of two different tones are
    /// left out.
    pub(crate) fn new(emoji: &[Emoji], groups: &Groups) -> Self {
        let mut labels = Self::default();
        for emoji in emoji {
            labels.insert(emoji, emoji, groups);
            for skin in &emoji.skins {
                labels.insert(skin, emoji, groups);
            }
        }
        labels
    }

    /// The label of an emoji, by its [`key`].
    pub(crate) fn get(&self, key: &str) -> Option<&Label> {
        self.by_key.get(key)
    }

    /// The label with this concept.
    pub(crate) fn of_concept(&self, concept: &str) -> Option<&Label> {
        self.by_key.values().find(|label| label.concept == concept)
    }

    /// True if an emoji is known, but has no label here: a part of emoji, or people of two tones.
    pub(crate) fn leaves_out(&self, key: &str) -> bool {
        self.left_out.contains(key)
    }

    /// All keys and labels, in Unicode's order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Label)> {
        let mut labels: Vec<_> = self.by_key.iter().map(|(key, label)| (key.as_str(), label)).collect();
        labels.sort_by_key(|&(key, label)| (label.order, key));
        labels.into_iter()
    }

    fn insert(&mut self, emoji: &Emoji, base: &Emoji, groups: &Groups) {
        let name = |names: &BTreeMap<u32, String>, number: Option<u32>| names.get(&number?).cloned();
        let groups = name(&groups.groups, base.group).zip(name(&groups.subgroups, base.subgroup));
        let tone = match emoji.tone {
            None => Some(None),
            Some(Tone::One(tone)) => Some(SKIN_TONES.get(tone.wrapping_sub(1)).copied()),
            Some(Tone::Several(_)) => None,
        };
        let (Some((group, subgroup)), Some(tone)) = (groups.filter(|(group, _)| group != "component"), tone) else {
            self.left_out.insert(key(&emoji.hexcode));
            return;
        };
        // "Red hair" and "white cane" are no colors of a person.
        let color = without_color(&base.label).filter(|_| group != "people-body");
        let label = Label {
            order: emoji.order,
            concept: emoji.label.clone(),
            root: root(&base.label, &subgroup),
            caption: caption(&base.label, &group, tone),
            tags: base.tags.clone(),
            skin_tone: tone.map(str::to_owned),
            gender: gender(&base.label, &subgroup).map(str::to_owned),
            color: color.map(|(_, color)| color.to_owned()),
            group,
            subgroup,
        };
        self.by_key.insert(key(&emoji.hexcode), label);
    }
}

/// The concept without its tone: "woman astronaut: dark skin tone" is a "woman astronaut".
pub(crate) fn without_tone(concept: &str) -> String {
    let Some((base, rest)) = concept.split_once(": ") else {
        return concept.to_owned();
    };
    let rest: Vec<_> = rest.split(", ").filter(|part| !part.ends_with("skin tone")).collect();
    if rest.is_empty() {
        base.to_owned()
    } else {
        format!("{base}: {}", rest.join(", "))
    }
}

/// The label without its color word, and that word: "red heart" gives "heart" and "red". Nothing if it has none, or
/// if nothing would be left.
pub(crate) fn without_color(label: &str) -> Option<(String, &'static str)> {
    // The longest word first: "light blue heart" is no "light heart".
    let mut colors = COLORS.rsplit('|');
    colors.find_map(|color| Some((without_phrase(label, color)?, color)))
}

/// The label without its gender words, tone included: "woman astronaut: dark skin tone" and "man astronaut: dark skin
/// tone" give the same.
pub(crate) fn without_gender(concept: &str) -> String {
    let words = concept.split(' ').map(|word| {
        let neutral = match word.trim_end_matches([':', ',']) {
            "man" | "woman" | "person" | "men" | "women" | "people" | "Mrs." | "Mx" | "Santa" => "",
            "boy" | "girl" => "child",
            "older" => "old",
            "merman" | "mermaid" => "merperson",
            "prince" | "princess" => "with crown",
            "breast-feeding" => "breast-feeding",
            _ => return word.to_owned(),
        };
        neutral.to_owned() + if word.ends_with(':') { ":" } else { "" }
    });
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The concept that the split goes by. People of one number share a root, so do clocks, moons, signs of the zodiac and keycaps.
fn root(label: &str, subgroup: &str) -> String {
    let cluster = match subgroup {
        _ if has_word(PERSON_SUBGROUPS, subgroup) => Some(PERSON_ROOT),
        "family" => Some(FAMILY_ROOT),
        "person-symbol" if label.starts_with("family") => Some(FAMILY_ROOT),
        "time" if label.ends_with("o’clock") || label.ends_with("-thirty") => Some("clock"),
        "sky-weather" if label.contains("moon") => Some("moon"),
        "zodiac" => Some("zodiac"),
        "keycap" => Some("keycap"),
        _ => None,
    };
    if let Some(cluster) = cluster {
        return cluster.to_owned();
    }
    let label = if subgroup == "person-fantasy" {
        without_gender(label)
    } else {
        label.to_owned()
    };
    let label = without_color(&label).map_or(label, |(rest, _)| rest);
    let mut words: Vec<_> = label.split(' ').collect();
    drop_words(&mut words, DIRECTIONS);
    drop_words(&mut words, "face");
    if subgroup == "geometric" {
        drop_words(&mut words, SIZES);
    }
    words.join(" ").to_lowercase()
}

/// Drops words, but never the last one that is left.
fn drop_words(words: &mut Vec<&str>, dropped: &str) {
    let kept: Vec<_> = words.iter().copied().filter(|word| !has_word(dropped, word)).collect();
    if !kept.is_empty() {
        *words = kept;
    }
}

fn gender(label: &str, subgroup: &str) -> Option<&'static str> {
    let person = has_word(PERSON_SUBGROUPS, subgroup) || subgroup == "person-fantasy";
    // Couples and families hold several genders.
    if !person || subgroup == "family" {
        return None;
    }
    let has = |wanted: &str| label.split([' ', ':']).any(|word| has_word(wanted, word));
    if has("woman women girl princess mermaid Mrs.") {
        Some("woman")
    } else if has("man men boy prince merman Santa") {
        Some("man")
    } else {
        Some("person")
    }
}

fn caption(label: &str, group: &str, tone: Option<&str>) -> String {
    let label = label.replace(": facing right", " facing right").replace('’', "'");
    let thing = matches!(
        group,
        "animals-nature" | "food-drink" | "travel-places" | "activities" | "objects"
    );
    let last = label.rsplit(' ').next().unwrap_or_default();
    let plural = last.ends_with('s') && !last.ends_with("ss") && !last.ends_with("us");
    let proper = label.chars().next().is_some_and(char::is_uppercase);
    let phrase = if !thing || plural || proper || has_word(WITHOUT_ARTICLE, last) {
        label
    } else {
        format!("{} {label}", article(&label))
    };
    match tone {
        None => phrase,
        Some(tone) => format!("{phrase} with {tone} skin tone"),
    }
}

/// True if `word` is one of `words`, which have spaces between them.
pub(crate) fn has_word(words: &str, word: &str) -> bool {
    words.split(' ').any(|one| one == word)
}

/// "a" or "an", by the first letter.
pub(crate) fn article(phrase: &str) -> &'static str {
    let vowel = phrase.starts_with(['a', 'e', 'i', 'o', 'u', 'A', 'E', 'I', 'O', 'U']);
    let exceptions = ["uni", "one", "euro", "UK", "Euro", "use"];
    let exception = exceptions.iter().any(|start| phrase.starts_with(start));
    if vowel && !exception { "an" } else { "a" }
}

/// `label` without `phrase`, if it stands there as whole words and something is left.
fn without_phrase(label: &str, phrase: &str) -> Option<String> {
    let padded = format!(" {label} ");
    let found = padded.find(&format!(" {phrase} "))?;
    let rest = format!("{} {}", &padded[..found], &padded[found + phrase.len() + 2..]);
    let rest = rest.split_whitespace().collect::<Vec<_>>().join(" ");
    (!rest.is_empty()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: &str = r#"[
        {"label": "woman astronaut", "hexcode": "1F469-200D-1F680", "tags": ["space"], "order": 7, "group": 1, "subgroup": 25,
         "skins": [{"label": "woman astronaut: dark skin tone", "hexcode": "1F469-1F3FF-200D-1F680", "order": 8, "tone": 5},
                   {"label": "two tones", "hexcode": "1F469-1F3FF", "order": 9, "tone": [1, 5]}]},
        {"label": "red heart", "hexcode": "2764-FE0F", "order": 3, "group": 0, "subgroup": 14},
        {"label": "dark skin tone", "hexcode": "1F3FF", "order": 1, "group": 2, "subgroup": 32},
        {"label": "regional indicator A", "hexcode": "1F1E6"}]"#;
    const GROUPS: &str = r#"{"groups": {"0": "smileys-emotion", "1": "people-body", "2": "component"},
        "subgroups": {"14": "heart", "25": "person-role", "32": "skin-tone"}}"#;

    #[test]
    fn labels_are_read() {
        let emoji: Vec<Emoji> = serde_json::from_str(DATA).unwrap();
        let labels = Labels::new(&emoji, &serde_json::from_str(GROUPS).unwrap());
        let order: Vec<_> = labels.iter().map(|(key, _)| key).collect();
        assert_eq!(order, ["2764", "1F469-200D-1F680", "1F469-1F3FF-200D-1F680"]);
        let expected = Label {
            order: 8,
            concept: "woman astronaut: dark skin tone".to_owned(),
            root: "person".to_owned(),
            caption: "woman astronaut with dark skin tone".to_owned(),
            tags: vec!["space".to_owned()],
            group: "people-body".to_owned(),
            subgroup: "person-role".to_owned(),
            skin_tone: Some("dark".to_owned()),
            gender: Some("woman".to_owned()),
            color: None,
        };
        assert_eq!(labels.get(&key("1f469-1f3ff-200d-1f680")), Some(&expected));
        assert!(labels.leaves_out("1F3FF") && labels.leaves_out("1F469-1F3FF") && !labels.leaves_out("2764"));
        assert_eq!(labels.get("2764").unwrap().color.as_deref(), Some("red"));
        assert_eq!(labels.of_concept("red heart").unwrap().order, 3);
    }

    #[test]
    fn roots() {
        let check =
            |label: &str, subgroup: &str, expected: &str| assert_eq!(root(label, subgroup), expected, "{label}");
        check("woman astronaut", "person-role", "person");
        check("man walking: facing right", "person-activity", "person");
        check("kiss: woman, man", "family", "family");
        check("family: adult, child", "person-symbol", "family");
        check("woman mage", "person-fantasy", "mage");
        check("mermaid", "person-fantasy", "merperson");
        check("Mrs. Claus", "person-fantasy", "claus");
        check("light blue heart", "heart", "heart");
        check("red heart", "heart", "heart");
        check("heart on fire", "heart", "heart on fire");
        check("orange book", "book-paper", "book");
        check("black large square", "geometric", "square");
        check("dog face", "animal-mammal", "dog");
        check("cat", "animal-mammal", "cat");
        check("black cat", "animal-mammal", "cat");
        check("polar bear", "animal-mammal", "polar bear");
        check(
            "backhand index pointing left",
            "hand-single-finger",
            "backhand index pointing",
        );
        check("left-facing fist", "hand-fingers-closed", "fist");
        check("ten-thirty", "time", "clock");
        check("ten o’clock", "time", "clock");
        check("alarm clock", "time", "alarm clock");
        check("new moon face", "sky-weather", "moon");
        check("moon cake", "food-asian", "moon cake");
        check("Leo", "zodiac", "zodiac");
        check("keycap: 3", "keycap", "keycap");
        check("left arrow", "arrow", "arrow");
    }

    #[test]
    fn genders() {
        let check = |label: &str, subgroup: &str, expected: Option<&str>| {
            assert_eq!(gender(label, subgroup), expected, "{label}");
        };
        check("woman astronaut", "person-role", Some("woman"));
        check("astronaut", "person-role", Some("person"));
        check("man: red hair", "person", Some("man"));
        check("women wrestling", "person-sport", Some("woman"));
        check("merman", "person-fantasy", Some("man"));
        check("kiss: woman, man", "family", None);
        check("woman’s hat", "clothing", None);
        check("waving hand", "hand-fingers-open", None);
    }

    #[test]
    fn concepts_without_a_part() {
        assert_eq!(without_tone("woman: dark skin tone, red hair"), "woman: red hair");
        assert_eq!(
            without_tone("woman astronaut: medium-light skin tone"),
            "woman astronaut"
        );
        assert_eq!(without_tone("man: beard"), "man: beard");
        for concepts in [
            ["woman astronaut: dark skin tone", "astronaut: dark skin tone"],
            ["woman: red hair", "person: red hair"],
            ["girl", "child"],
            ["old man", "older person"],
            ["mermaid", "merperson"],
            ["Mrs. Claus", "Mx Claus"],
            ["princess", "person with crown"],
            ["men wrestling", "people wrestling"],
        ] {
            assert_eq!(without_gender(concepts[0]), without_gender(concepts[1]));
        }
        assert_ne!(without_gender("girl"), without_gender("woman"));
        assert_ne!(
            without_gender("woman astronaut"),
            without_gender("woman astronaut: dark skin tone")
        );
        assert_eq!(
            without_color("light blue heart"),
            Some(("heart".to_owned(), "light blue"))
        );
        assert_eq!(
            without_color("black large square"),
            Some(("large square".to_owned(), "black"))
        );
        for label in ["orange", "blackboard", "cooked rice"] {
            assert_eq!(without_color(label), None, "{label}");
        }
    }

    #[test]
    fn captions() {
        let check = |label: &str, group: &str, tone: Option<&str>, expected: &str| {
            assert_eq!(caption(label, group, tone), expected);
        };
        check("red apple", "food-drink", None, "a red apple");
        check("avocado", "food-drink", None, "an avocado");
        check("unicorn", "animals-nature", None, "a unicorn");
        check("grapes", "food-drink", None, "grapes");
        check("octopus", "animals-nature", None, "an octopus");
        check("T-Rex", "animals-nature", None, "T-Rex");
        check("cooked rice", "food-drink", None, "cooked rice");
        check("grinning face", "smileys-emotion", None, "grinning face");
        check(
            "waving hand",
            "people-body",
            Some("medium-light"),
            "waving hand with medium-light skin tone",
        );
    }
}
