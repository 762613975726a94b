//! Sets of images that labels describe: the same thing in all styles, the same thing in other colors.

use std::collections::{HashMap, HashSet};

use magiclens_collection::{Collection, DRAWINGS, LabeledImage, Look};

/// Images by what they show.
pub(super) struct Labels<'a> {
    collection: &'a Collection,
    things: HashMap<&'a str, Vec<usize>>,
    colored: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Labels<'a> {
    pub(super) fn of(collection: &'a Collection) -> Self {
        let mut labels = Self {
            collection,
            things: HashMap::new(),
            colored: HashMap::new(),
        };
        for (row, image) in collection.images.iter().enumerate() {
            for concept in image.concepts() {
                labels.things.entry(concept).or_default().push(row);
            }
            // A red circle without colors is no red circle, and one that stands for two colors has neither.
            if look(image) == Some(Look::Color) && image.color.is_some() && image.also.is_empty() {
                labels.colored.entry(&image.root).or_default().push(row);
            }
        }
        labels
    }

    /// All other images that show what this one shows.
    pub(super) fn same_thing(&self, row: usize) -> HashSet<usize> {
        let shown = self.collection.images[row]
            .concepts()
            .filter_map(|concept| self.things.get(concept));
        shown.flatten().copied().filter(|other| *other != row).collect()
    }

    /// The colored images of the same root in any color and style, but for this one; none if this one is not colored.
    pub(super) fn color_family(&self, row: usize) -> Vec<usize> {
        let family = self.colored.get(self.collection.images[row].root.as_str());
        let family = family.map(Vec::as_slice).unwrap_or_default();
        if !family.contains(&row) {
            return Vec::new();
        }
        family.iter().copied().filter(|other| *other != row).collect()
    }

    /// The two halves of rows: of this color, and of others.
    pub(super) fn by_color(&self, rows: &[usize], color: &str) -> (HashSet<usize>, HashSet<usize>) {
        rows.iter()
            .copied()
            .partition(|row| self.collection.images[*row].color.as_deref() == Some(color))
    }
}

/// The look of an image's style; `None` for photographs, stamps and cards.
pub(super) fn look(image: &LabeledImage) -> Option<Look> {
    let package = DRAWINGS.iter().find(|package| package.style == image.style);
    package.map(|package| package.look)
}
