//! The part of the data that a root concept belongs to. Images of one root are never in two parts.

use std::collections::HashMap;

use crate::image::Split;
use crate::packages::HELD_OUT_STYLES;
use crate::part::text_hash;

/// Put in front of the root before hashing. It is chosen so that people, half of all images, are trained on.
const SALT: &str = "magiclens split 1: ";

/// The part of a root concept: 70 % train, 10 % dev, 20 % test, by a hash of the root alone.
pub fn split_of_root(root: &str) -> Split {
    match text_hash(&format!("{SALT}{root}")) % 100 {
        0..70 => Split::Train,
        70..80 => Split::Dev,
        _ => Split::Test,
    }
}

/// The part of an image: that of its root, but a held-out style is never trained on.
pub(crate) fn split_of_image(root: &str, style: &str) -> Split {
    match split_of_root(root) {
        Split::Train if HELD_OUT_STYLES.contains(&style) => Split::Dev,
        split => split,
    }
}

/// Roots that belong together because an image shows both; a forest; the root that was there first
/// is on top.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    parents: HashMap<String, String>,
}

impl Roots {
    /// The root that stands for all roots joined with `root`.
    pub(crate) fn find(&self, root: &str) -> String {
        let mut root = root;
        while let Some(parent) = self.parents.get(root) {
            root = parent;
        }
        root.to_owned()
    }

    /// Joins two roots: from now on both are what `first` was.
    pub(crate) fn join(&mut self, first: &str, second: &str) {
        let (first, second) = (self.find(first), self.find(second));
        if first != second {
            self.parents.insert(second, first);
        }
    }

    /// Number of roots that were joined to another one.
    pub(crate) fn joined(&self) -> usize {
        self.parents.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_seventy_ten_and_twenty_of_a_hundred() {
        let count = |wanted: Split| {
            (0..10_000)
                .filter(|n| split_of_root(&format!("root {n}")) == wanted)
                .count()
        };
        assert!((6_800..7_200).contains(&count(Split::Train)));
        assert!((850..1_150).contains(&count(Split::Dev)));
        assert!((1_800..2_200).contains(&count(Split::Test)));
    }

    #[test]
    fn people_are_trained_on_and_held_out_styles_are_not() {
        assert_eq!(split_of_root("person"), Split::Train);
        for style in HELD_OUT_STYLES {
            assert_eq!(split_of_image("person", style), Split::Dev);
            assert!((0..500).all(|n| split_of_image(&n.to_string(), style) != Split::Train));
        }
        assert_eq!(split_of_image("person", "noto"), Split::Train);
    }

    #[test]
    fn joined_roots_have_one_name() {
        let mut roots = Roots::default();
        for (first, second) in [("d", "c"), ("b", "a"), ("c", "b"), ("a", "d")] {
            roots.join(first, second);
        }
        for root in ["a", "b", "c", "d"] {
            assert_eq!(roots.find(root), "d");
        }
        assert_eq!(roots.find("e"), "e");
        assert_eq!(roots.joined(), 3);
    }
}
