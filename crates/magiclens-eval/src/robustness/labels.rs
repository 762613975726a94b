//! Sets of pictures that labels describe: the same thing in all styles, the same thing in other colours.

use std::collections::{HashMap, HashSet};

use magiclens_data::Picture;
use magiclens_data::collection::{DRAWINGS, Look};

use crate::collection::{Collection, concepts};

/// Pictures by what they show.
pub(super) struct Labels<'a> {
    collection: &'a Collection,
    things: HashMap<&'a str, Vec<usize>>,
    coloured: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Labels<'a> {
    pub(super) fn of(collection: &'a Collection) -> Self {
        let mut labels = Self {
            collection,
            things: HashMap::new(),
            coloured: HashMap::new(),
        };
        for (row, picture) in collection.pictures.iter().enumerate() {
            for concept in concepts(picture) {
                labels.things.entry(concept).or_default().push(row);
            }
            // A red circle without colours is no red circle, and one that stands for two colours has neither.
            if look(picture) == Some(Look::Colour) && picture.colour.is_some() && picture.also.is_empty() {
                labels.coloured.entry(&picture.root).or_default().push(row);
            }
        }
        labels
    }

    /// All other pictures that show what this one shows.
    pub(super) fn same_thing(&self, row: usize) -> HashSet<usize> {
        let shown = concepts(&self.collection.pictures[row]).filter_map(|concept| self.things.get(concept));
        shown.flatten().copied().filter(|other| *other != row).collect()
    }

    /// The coloured pictures of the same root in any colour and style, but for this one; none if this one is not coloured.
    pub(super) fn colour_family(&self, row: usize) -> Vec<usize> {
        let family = self.coloured.get(self.collection.pictures[row].root.as_str());
        let family = family.map(Vec::as_slice).unwrap_or_default();
        if !family.contains(&row) {
            return Vec::new();
        }
        family.iter().copied().filter(|other| *other != row).collect()
    }

    /// The two halves of rows: of this colour, and of others.
    pub(super) fn by_colour(&self, rows: &[usize], colour: &str) -> (HashSet<usize>, HashSet<usize>) {
        rows.iter()
            .copied()
            .partition(|row| self.collection.pictures[*row].colour.as_deref() == Some(colour))
    }
}

/// What a picture's style looks like; nothing for photographs, stamps and cards.
pub(super) fn look(picture: &Picture) -> Option<Look> {
    let package = DRAWINGS.iter().find(|package| package.style == picture.style);
    package.map(|package| package.look)
}
