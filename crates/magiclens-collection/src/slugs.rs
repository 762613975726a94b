//! Understands the names that icon sets give their emoji: "woman-astronaut-dark-skin-tone", "anticlockwise-arrows-button".

use std::collections::HashMap;

use crate::iconify::IconSet;
use crate::labels::Labels;

/// Names that no rule finds: a style, what its set calls an emoji, and the emoji's label.
const OTHER_NAMES: &str = include_str!("other_names.tsv");

/// Emoji keys by name.
#[derive(Debug, Default)]
pub(crate) struct Slugs {
    keys: HashMap<String, String>,
    /// The same names without dashes, for sets that write "admissiontickets".
    compact: HashMap<String, String>,
    /// Names that mean something in one style only.
    by_style: HashMap<&'static str, HashMap<&'static str, String>>,
}

impl Slugs {
    /// Names from the labels, then from tables of keys and names (the sets' own, Unicode's), then other names for the
    /// same icon.
    pub(crate) fn new(labels: &Labels, tables: &[&Vec<(String, String)>], sets: &[&IconSet]) -> Self {
        let mut slugs = Self::default();
        for (key, label) in labels.iter() {
            slugs.add(&slug(&label.concept), key);
        }
        let named = tables.iter().copied().flatten();
        for (key, name) in named.filter(|(key, _)| labels.get(key).is_some()) {
            slugs.add(&slug(name), key);
        }
        for set in sets {
            for (alias, parent) in set.same_icons() {
                if let Some(key) = slugs.keys.get(parent).cloned() {
                    slugs.add(alias, &key);
                } else if let Some(key) = slugs.keys.get(alias).cloned() {
                    slugs.add(parent, &key);
                }
            }
        }
        for line in OTHER_NAMES.lines().filter(|line| !line.starts_with('#')) {
            if let [style, name, concept] = line.split('\t').collect::<Vec<_>>()[..] {
                let key = slugs.keys.get(&slug(concept)).cloned().unwrap_or_default();
                slugs.by_style.entry(style).or_default().insert(name, key);
            }
        }
        let compact = |(name, key): (&String, &String)| (name.replace('-', ""), key.clone());
        slugs.compact = slugs.keys.iter().map(compact).collect();
        slugs
    }

    /// The emoji key of a name in the set of a style: as it is, without dashes, or without a number at its end
    /// ("cactus-2"). A name that is known to mean no emoji has an empty key.
    pub(crate) fn key(&self, style: &str, name: &str) -> Option<&str> {
        if let Some(key) = self.by_style.get(style).and_then(|names| names.get(name)) {
            return Some(key);
        }
        let found = |name: &str| self.keys.get(name).or_else(|| self.compact.get(&name.replace('-', "")));
        let unnumbered = || {
            let (name, number) = name.rsplit_once('-')?;
            number.bytes().all(|byte| byte.is_ascii_digit()).then(|| found(name))?
        };
        found(name).or_else(unnumbered).map(String::as_str)
    }

    /// The first meaning of a name stays.
    fn add(&mut self, name: &str, key: &str) {
        self.keys.entry(name.to_owned()).or_insert_with(|| key.to_owned());
    }
}

/// A label as icon sets write it: lower case, no accents and quotes, dashes between words.
fn slug(label: &str) -> String {
    let mut slug = String::new();
    for letter in label.chars().flat_map(char::to_lowercase) {
        match letter {
            'a'..='z' | '0'..='9' | '#' | '*' => slug.push(letter),
            'ñ' => slug.push('n'),
            'é' | 'è' | 'ê' => slug.push('e'),
            'ã' | 'å' | 'á' => slug.push('a'),
            'í' => slug.push('i'),
            'ô' | 'ó' => slug.push('o'),
            'ü' | 'ú' => slug.push('u'),
            'ç' => slug.push('c'),
            '’' | '\'' | '“' | '”' | '.' | '!' => {}
            _ if slug.ends_with('-') || slug.is_empty() => {}
            _ => slug.push('-'),
        }
    }
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::Emoji;

    #[test]
    fn slugs_of_labels() {
        let check = |label: &str, expected: &str| assert_eq!(slug(label), expected);
        check("woman astronaut: dark skin tone", "woman-astronaut-dark-skin-tone");
        check("piñata", "pinata");
        check("Japanese “here” button", "japanese-here-button");
        check("twelve o’clock", "twelve-oclock");
        check("A button (blood type)", "a-button-blood-type");
        check("ON! arrow", "on-arrow");
        check("kiss: woman, man", "kiss-woman-man");
    }

    #[test]
    fn names_are_understood() {
        let data = r#"[{"label": "admission tickets", "hexcode": "1F39F", "group": 0, "subgroup": 0},
            {"label": "blue heart", "hexcode": "1F499", "group": 0, "subgroup": 0},
            {"label": "two hearts", "hexcode": "1F495", "group": 0, "subgroup": 0},
            {"label": "counterclockwise arrows button", "hexcode": "1F504", "group": 0, "subgroup": 0}]"#;
        let emoji: Vec<Emoji> = serde_json::from_str(data).unwrap();
        let groups = r#"{"groups": {"0": "g"}, "subgroups": {"0": "s"}}"#;
        let labels = Labels::new(&emoji, &serde_json::from_str(groups).unwrap());
        let set: IconSet = serde_json::from_str(
            r#"{"icons": {"counterclockwise-arrows-button": {"body": ""}},
                "aliases": {"anticlockwise": {"parent": "counterclockwise-arrows-button"}}}"#,
        )
        .unwrap();
        let slugs = Slugs::new(
            &labels,
            &[&vec![("1F499".to_owned(), "azure-love".to_owned())]],
            &[&set],
        );
        let check = |name: &str, expected: Option<&str>| assert_eq!(slugs.key("fxemoji", name), expected, "{name}");
        check("admission-tickets", Some("1F39F"));
        check("admissiontickets", Some("1F39F"));
        check("admission-tickets-2", Some("1F39F"));
        check("azure-love", Some("1F499"));
        check("azurelove", Some("1F499"));
        check("anticlockwise", Some("1F504"));
        check("2hearts", Some("1F495"));
        check("unknown", None);
        check("unknown-2", None);
        assert_eq!(slugs.key("noto", "2hearts"), None);
    }
}
