//! The way of a rater through a study. Nothing in a [`View`] says which system a ranking is of, or what an item is for.

use magiclens_data::ImageId;
use serde::Serialize;

use crate::assignment::{Turn, turns};
use crate::error::Refusal;
use crate::judgment::{Choice, Judgment, RaterName};
use crate::ratings::Ratings;
use crate::study::{Item, Study, short_digest};

/// The content of the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The rater's name, as it is kept.
    pub rater: String,
    /// The question.
    pub question: String,
    /// Items judged.
    pub done: usize,
    /// All items.
    pub total: usize,
    /// Key of the item judged last, which can be taken back.
    pub last: Option<String>,
    /// The item at hand; `None` when all are judged.
    pub item: Option<ItemView>,
}

/// An item as a rater may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ItemView {
    /// Names the item to this rater; says nothing else.
    pub key: String,
    /// The query image.
    pub query: ImageId,
    /// The change that is wanted.
    pub instruction: String,
    /// The ranking on the left, best first.
    pub left: Vec<ImageId>,
    /// The ranking on the right, best first.
    pub right: Vec<ImageId>,
}

impl ItemView {
    /// The item with the rankings in their places.
    pub fn new(item: &Item, turn: &Turn, key: String) -> Self {
        Self {
            key,
            query: item.image,
            instruction: item.instruction.clone(),
            left: item.ranking(turn.left).to_vec(),
            right: item.ranking(turn.left.other()).to_vec(),
        }
    }
}

/// One rater's way through a study.
pub(crate) struct Session<'a> {
    study: &'a Study,
    rater: RaterName,
    turns: Vec<Turn>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(study: &'a Study, rater: RaterName) -> Self {
        let turns = turns(&study.items, study.settings.seed, &rater);
        Self { study, rater, turns }
    }

    /// The rater's place in the study.
    pub(crate) fn view(&self, ratings: &Ratings) -> View {
        let judged = ratings.of(&self.rater);
        let item = self.at_hand(judged).map(|turn| {
            let item = self.item(turn);
            ItemView::new(item, turn, self.key(&item.id))
        });
        View {
            rater: self.rater.to_string(),
            question: self.study.settings.question.clone(),
            done: judged.len(),
            total: self.turns.len(),
            last: judged.last().map(|last| self.key(&last.item)),
            item,
        }
    }

    /// Records a choice, once: the same again changes nothing, another one is refused.
    pub(crate) fn judge(&self, ratings: &mut Ratings, key: &str, choice: Choice) -> Result<(), Refusal> {
        let is_meant = |turn: &&Turn| self.key(&self.item(turn).id) == key;
        let turn = self.turns.iter().find(is_meant).ok_or(Refusal::UnknownItem)?;
        let item = &self.item(turn).id;
        let judged = ratings.of(&self.rater);
        if let Some(before) = judged.iter().find(|judgment| judgment.item == *item) {
            return match before.choice == choice {
                true => Ok(()),
                false => Err(Refusal::JudgedOtherwise(before.choice)),
            };
        }
        if self.at_hand(judged) != Some(turn) {
            return Err(Refusal::NotAtHand);
        }
        let judgment = Judgment {
            item: item.clone(),
            left: turn.left,
            choice,
        };
        Ok(ratings.add(&self.rater, judgment)?)
    }

    /// Takes back the judgment of an item if it is the last one; an item that is not judged stays so.
    pub(crate) fn undo(&self, ratings: &mut Ratings, key: &str) -> Result<(), Refusal> {
        if !self.turns.iter().any(|turn| self.key(&self.item(turn).id) == key) {
            return Err(Refusal::UnknownItem);
        }
        let judged = ratings.of(&self.rater);
        match judged.iter().rposition(|judgment| self.key(&judgment.item) == key) {
            None => Ok(()),
            Some(place) if place + 1 == judged.len() => Ok(ratings.undo(&self.rater)?),
            Some(_) => Err(Refusal::NotTheLast),
        }
    }

    /// The first item in the rater's order that is not judged.
    fn at_hand(&self, judged: &[Judgment]) -> Option<&Turn> {
        let is_open = |turn: &&Turn| {
            let id = &self.item(turn).id;
            judged.iter().all(|judgment| judgment.item != *id)
        };
        self.turns.iter().find(is_open)
    }

    fn item(&self, turn: &Turn) -> &'a Item {
        &self.study.items[turn.item]
    }

    /// A hash, so that an id such as `check 1` does not reach the page, and another one for each rater.
    fn key(&self, id: &str) -> String {
        let seed = self.study.settings.seed.to_string();
        short_digest(["item", &seed, self.rater.as_str(), id].join("\n"))
    }
}
