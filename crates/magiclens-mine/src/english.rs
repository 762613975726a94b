//! The English word lists of `data/english.toml`, for cleaning, templates and gates.

use std::collections::HashSet;
use std::sync::LazyLock;

use serde::Deserialize;

/// All lists. What each is for stands in the file.
pub(crate) static ENGLISH: LazyLock<English> = LazyLock::new(|| {
    toml::from_str(include_str!("../data/english.toml")).expect("the file is part of the program, and tested")
});

/// The lists by the module that reads them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct English {
    pub(crate) stop: WordList,
    pub(crate) metadata: MetadataWords,
    pub(crate) gate: GateWords,
    pub(crate) template: TemplateWords,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetadataWords {
    pub(crate) plain_headings: WordList,
    pub(crate) empty: WordList,
    pub(crate) file_noise: WordList,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GateWords {
    pub(crate) references: WordList,
    pub(crate) changes: WordList,
    pub(crate) ellipses: WordList,
    pub(crate) colors: WordList,
    pub(crate) counts: WordList,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TemplateWords {
    pub(crate) kinds: WordList,
    pub(crate) kind_fillers: WordList,
    pub(crate) plain_topics: WordList,
    pub(crate) generic: WordList,
    pub(crate) cuts: WordList,
    pub(crate) prepositions: WordList,
    pub(crate) sentence: WordList,
    pub(crate) orders: WordList,
    pub(crate) participles: WordList,
    pub(crate) common_endings: WordList,
    pub(crate) ending_particles: WordList,
    pub(crate) not_exchangeable: WordList,
    pub(crate) bare_grammar: WordList,
    pub(crate) file_states: WordList,
}

/// Words or phrases in lower case.
#[derive(Debug, Deserialize)]
#[serde(from = "Listed")]
pub(crate) struct WordList(HashSet<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Listed {
    Words(String),
    Phrases(Vec<String>),
}

impl From<Listed> for WordList {
    fn from(listed: Listed) -> Self {
        Self(match listed {
            Listed::Words(words) => words.split_whitespace().map(str::to_owned).collect(),
            Listed::Phrases(phrases) => phrases.into_iter().collect(),
        })
    }
}

impl WordList {
    pub(crate) fn has(&self, word: &str) -> bool {
        self.0.contains(word)
    }

    /// True if a word ends with one of the list.
    pub(crate) fn ends(&self, word: &str) -> bool {
        self.0.iter().any(|ending| word.ends_with(ending.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        assert!(ENGLISH.stop.has("can't") && ENGLISH.stop.has("thumbnail") && !ENGLISH.stop.has("bridge"));
        assert!(ENGLISH.metadata.plain_headings.has("table of contents"));
        assert!(ENGLISH.template.common_endings.ends("station"));
    }
}
