//! Focus, in the manner of GeneCIS (Vaze et al. 2023): "same style" or "same thing", and fifteen candidates of which one
//! is right. Of the wrong ones, seven share with the query what was not asked for, and seven share with the right one what
//! was not asked for: neither the nearest image nor the odd one out is the answer.

use std::collections::{HashMap, HashSet};

use magiclens_collection::{Collection, DRAWINGS, LabeledImage};

use crate::benchmark::{Query, Truth};

/// Queries of a condition.
pub(super) const QUERIES: usize = 2000;
/// Wrong candidates of each of the two kinds.
const WRONG: usize = 7;
/// Images that are tried as the right answer of a query before it is given up.
const TRIES: usize = 8;

/// The condition that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Focus {
    /// Another thing in the style of the query.
    Style,
    /// The same thing in the style of another design family.
    Thing,
}

impl Focus {
    /// The name of the task.
    pub(super) fn task(self) -> &'static str {
        match self {
            Self::Style => "focus_style",
            Self::Thing => "focus_thing",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Style => "same style",
            Self::Thing => "same thing",
        }
    }
}

/// At most [`QUERIES`] queries, each about another image; the same for the same collection.
pub(super) fn queries(collection: &Collection, focus: Focus) -> Vec<Query> {
    let index = Index::of(collection);
    let order = collection.shuffled(focus.task(), index.members.iter().copied());
    let asked = order.into_iter().filter_map(|row| {
        let candidates = index.candidates(focus, row)?;
        let image = &collection.images[row];
        Some(Query {
            id: image.id.to_string(),
            images: vec![row],
            text: focus.text().to_owned(),
            caption: focus.text().to_owned(),
            truth: Truth::Items(vec![candidates[0]]),
            subset: candidates,
            groups: vec![image.style.clone()],
            cluster: collection.roots[row],
            ..Query::default()
        })
    });
    asked.take(QUERIES).collect()
}

/// The drawings whose style has a name, by style and by what they show. Stamps and cards are of many styles.
struct Index<'a> {
    collection: &'a Collection,
    members: Vec<usize>,
    styles: HashMap<&'a str, Vec<usize>>,
    things: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Index<'a> {
    fn of(collection: &'a Collection) -> Self {
        let named: HashSet<&str> = DRAWINGS.iter().map(|package| package.style).collect();
        let mut index = Self {
            collection,
            members: Vec::new(),
            styles: HashMap::new(),
            things: HashMap::new(),
        };
        for (row, image) in collection.images.iter().enumerate() {
            if named.contains(image.style.as_str()) {
                index.members.push(row);
                index.styles.entry(&image.style).or_default().push(row);
                for concept in image.concepts() {
                    index.things.entry(concept).or_default().push(row);
                }
            }
        }
        index
    }

    /// The right answer and fourteen wrong ones; nothing if the collection has not enough of them.
    fn candidates(&self, focus: Focus, query: usize) -> Option<Vec<usize>> {
        let rights = match focus {
            Focus::Style => self.other_things(query, query),
            Focus::Thing => self.elsewhere(query, query),
        };
        rights.into_iter().take(TRIES).find_map(|right| {
            let (near_query, near_right) = match focus {
                Focus::Style => (self.elsewhere(query, query), self.elsewhere(query, right)),
                Focus::Thing => (self.other_things(query, query), self.other_things(query, right)),
            };
            let mut candidates = vec![right];
            for wrong in [near_query, near_right] {
                let new: Vec<usize> = wrong
                    .into_iter()
                    .filter(|row| !candidates.contains(row))
                    .take(WRONG)
                    .collect();
                if new.len() < WRONG {
                    return None;
                }
                candidates.extend(new);
            }
            Some(candidates)
        })
    }

    /// Images of the thing that `like` shows, in styles of other families than the query's.
    fn elsewhere(&self, query: usize, like: usize) -> Vec<usize> {
        let family = &self.image(query).family;
        let shown = self
            .image(like)
            .concepts()
            .filter_map(|concept| self.things.get(concept));
        let others = shown
            .flatten()
            .copied()
            .filter(|row| self.image(*row).family != *family);
        let others: HashSet<usize> = others.collect();
        self.shuffled("elsewhere", query, others)
    }

    /// Things that are not the query's, in the style of `like`.
    fn other_things(&self, query: usize, like: usize) -> Vec<usize> {
        let (asked, style) = (self.image(query), self.image(like).style.as_str());
        let drawn = self.styles.get(style).into_iter().flatten().copied();
        let others = drawn.filter(|row| {
            let other = self.image(*row);
            other.root != asked.root && !other.shows_same_concept(asked)
        });
        self.shuffled("other things", query, others)
    }

    fn shuffled(&self, what: &str, query: usize, rows: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let what = format!("focus, {what} {}", self.image(query).id);
        self.collection.shuffled(&what, rows)
    }

    fn image(&self, row: usize) -> &'a LabeledImage {
        &self.collection.images[row]
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use magiclens_collection::Split;

    use super::*;
    use crate::made_up::drawing;

    /// Twelve things in every named style, and one in a style without a name.
    fn collection() -> Collection {
        let mut images = vec![drawing("tuxpaint", "tuxpaint", "thing 0", "thing 0", None)];
        for package in &DRAWINGS {
            for thing in 0..12 {
                let thing = format!("thing {thing}");
                images.push(drawing(package.style, package.family, &thing, &thing, None));
            }
        }
        Collection::new(Path::new("c"), Split::Test, images, &[], Path::new("t")).unwrap()
    }

    #[test]
    fn one_candidate_is_right_and_the_others_are_wrong_in_two_ways() {
        let collection = collection();
        let at = |row: usize| &collection.images[row];
        for focus in [Focus::Style, Focus::Thing] {
            let queries = queries(&collection, focus);
            assert_eq!(queries.len(), DRAWINGS.len() * 12);
            for query in &queries {
                let asked = at(query.images[0]);
                let is_right = |row: &usize| match focus {
                    Focus::Style => at(*row).style == asked.style,
                    Focus::Thing => at(*row).concept == asked.concept,
                };
                let right: Vec<usize> = query.subset.iter().copied().filter(is_right).collect();
                assert_eq!(query.truth, Truth::Items(right.clone()));
                let (near_query, near_right): (Vec<&usize>, Vec<&usize>) =
                    query.subset[1..].iter().partition(|row| match focus {
                        Focus::Style => at(**row).concept == asked.concept,
                        Focus::Thing => at(**row).style == asked.style,
                    });
                assert_eq!((near_query.len(), near_right.len()), (WRONG, WRONG));
                assert!(near_right.iter().all(|row| match focus {
                    Focus::Style => at(**row).concept == at(right[0]).concept,
                    Focus::Thing => at(**row).style == at(right[0]).style,
                }));
                let different: HashSet<&usize> = query.subset.iter().chain(&query.images).collect();
                assert_eq!(
                    different.len(),
                    2 * WRONG + 2,
                    "a candidate stands twice or is the query"
                );
                assert!(query.subset.iter().all(|row| at(*row).style != "tuxpaint"));
            }
            let again = self::queries(&collection, focus);
            assert!(
                queries
                    .iter()
                    .zip(&again)
                    .all(|(a, b)| a.id == b.id && a.subset == b.subset)
            );
        }
    }

    #[test]
    fn without_enough_candidates_there_is_no_query() {
        let (mut images, _) = crate::made_up::made_up();
        images.retain(|image| ["noto", "twemoji"].contains(&image.style.as_str()));
        let few = Collection::new(Path::new("c"), Split::Test, images, &[], Path::new("t")).unwrap();
        assert!(queries(&few, Focus::Style).is_empty() && queries(&few, Focus::Thing).is_empty());
    }
}
