//! The judgment of an item by a rater.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest name of a rater, in characters.
const MAX_NAME_CHARS: usize = 40;

/// One of the two rankings of an item. In a check, `A` is the good one and `B` the bad one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The first system.
    A,
    /// The second system.
    B,
}

impl Side {
    /// The other ranking.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// The choice of a rater, as the page showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// The ranking on the left is better.
    Left,
    /// The ranking on the right is better.
    Right,
    /// Neither is better.
    Tie,
}

impl Choice {
    /// The word that the log and the export use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
            Self::Tie => "tie",
        }
    }
}

/// The meaning of a choice for the two systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preference {
    /// `A` is better.
    A,
    /// `B` is better.
    B,
    /// Neither is better.
    Tie,
}

impl Preference {
    /// The word that the export uses.
    pub fn word(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::Tie => "tie",
        }
    }
}

/// One rater's judgment of one item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgment {
    /// Id of the item.
    pub item: String,
    /// The ranking that was shown on the left.
    pub left: Side,
    /// The choice.
    pub choice: Choice,
}

impl Judgment {
    /// The meaning of the choice for the systems.
    pub fn preference(&self) -> Preference {
        match (self.choice, self.left) {
            (Choice::Tie, _) => Preference::Tie,
            (Choice::Left, Side::A) | (Choice::Right, Side::B) => Preference::A,
            (Choice::Left, Side::B) | (Choice::Right, Side::A) => Preference::B,
        }
    }
}

/// The name of a rater: 1 to 40 letters, digits, spaces and `-_.'`, without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RaterName(String);

impl RaterName {
    /// Reads a name as typed: spaces around it are dropped, those inside counted once, letters made small.
    ///
    /// # Errors
    /// The problem, as the rest of a sentence that begins with the name of the field.
    pub fn parse(text: &str) -> Result<Self, String> {
        let name = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        let is_allowed = |c: char| c.is_alphanumeric() || " -_.'".contains(c);
        match name.chars().count() {
            0 => Err("is empty".to_owned()),
            chars if MAX_NAME_CHARS < chars => Err(format!("has {chars} characters, more than {MAX_NAME_CHARS}")),
            _ => match name.chars().find(|&c| !is_allowed(c)) {
                Some(c) => Err(format!(
                    "may hold letters, digits, spaces and -_.' only, not `{}`",
                    c.escape_debug()
                )),
                None => Ok(Self(name)),
            },
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RaterName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).map_err(|problem| format!("the name `{}` {problem}", text.escape_debug()))
    }
}

impl From<RaterName> for String {
    fn from(name: RaterName) -> Self {
        name.0
    }
}

impl fmt::Display for RaterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_about_what_stood_there() {
        for (left, choice, preference) in [
            (Side::A, Choice::Left, Preference::A),
            (Side::A, Choice::Right, Preference::B),
            (Side::B, Choice::Left, Preference::B),
            (Side::B, Choice::Right, Preference::A),
            (Side::B, Choice::Tie, Preference::Tie),
        ] {
            let item = "q1".to_owned();
            assert_eq!(
                Judgment { item, left, choice }.preference(),
                preference,
                "{left:?} {choice:?}"
            );
        }
    }

    #[test]
    fn names_are_checked() {
        for (text, name) in [
            ("Anna", "anna"),
            ("  Zoë \t de  Vries ", "zoë de vries"),
            ("rater-2_b.'", "rater-2_b.'"),
        ] {
            assert_eq!(RaterName::parse(text).unwrap().as_str(), name);
        }
        let long = "x".repeat(41);
        for (text, words) in [
            ("", "empty"),
            (" \n ", "empty"),
            (&*long, "41 characters"),
            ("a<b>", "not `<`"),
            ("a\u{0}", "not `\\0`"),
        ] {
            let problem = RaterName::parse(text).unwrap_err();
            assert!(problem.contains(words), "{text:?}: {problem}");
        }
        assert!(RaterName::parse(&long[1..]).is_ok());
    }
}
