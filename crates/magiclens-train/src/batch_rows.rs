//! The different images and texts of a batch, each once, and the batch by their places in the place of rows of whole tables.

use std::collections::BTreeSet;

use crate::batches::Batch;
use crate::gradients::CaptionRow;
use crate::trained::TrainedTowers;

/// A batch on tables of its own rows; images or texts of a frozen tower keep the rows of the whole table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BatchRows {
    /// Rows of the images that go through the trained tower, ascending; none if it is frozen.
    pub(crate) images: Vec<usize>,
    /// Rows of the instructions that go through the trained tower, ascending, the empty one first.
    pub(crate) texts: Vec<usize>,
    /// Rows of such captions, ascending.
    pub(crate) captions: Vec<usize>,
    /// The batch by places in those lists.
    pub(crate) batch: Batch,
    /// The captioned images by places in those lists.
    pub(crate) captioned: Vec<CaptionRow>,
}

impl BatchRows {
    pub(crate) fn new(batch: &Batch, captioned: &[CaptionRow], trained: TrainedTowers) -> Self {
        let of_queries = batch.queries.iter().map(|query| query.0);
        let of_captions = captioned.iter().map(|row| row.image);
        let seconds = batch.seconds.iter().flatten().copied();
        let images = distinct(
            of_queries
                .chain(seconds)
                .chain(batch.images.iter().copied())
                .chain(of_captions),
        );
        let texts = distinct(batch.queries.iter().map(|query| query.1).chain([0]));
        let captions = distinct(captioned.iter().map(|row| row.caption));
        let image = |row: &usize| place(&images, *row, trained.image());
        let text = |row: &usize| place(&texts, *row, trained.text());
        let mapped = Batch {
            queries: batch.queries.iter().map(|(of, by)| (image(of), text(by))).collect(),
            seconds: batch.seconds.iter().map(|row| row.as_ref().map(image)).collect(),
            images: batch.images.iter().map(image).collect(),
            ..batch.clone()
        };
        let caption = |row: &CaptionRow| CaptionRow {
            image: image(&row.image),
            caption: place(&captions, row.caption, trained.text()),
        };
        let captioned = captioned.iter().map(caption).collect();
        let kept = |rows: Vec<usize>, is_trained: bool| if is_trained { rows } else { Vec::new() };
        Self {
            images: kept(images, trained.image()),
            texts: kept(texts, trained.text()),
            captions: kept(captions, trained.text()),
            batch: mapped,
            captioned,
        }
    }
}

fn distinct(rows: impl Iterator<Item = usize>) -> Vec<usize> {
    rows.collect::<BTreeSet<usize>>().into_iter().collect()
}

/// The place of a row in an ascending list that has it; the row itself if its tower is frozen.
fn place(rows: &[usize], row: usize, is_trained: bool) -> usize {
    match is_trained {
        true => rows.partition_point(|other| *other < row),
        false => row,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_places_where_the_tower_is_trained() {
        let batch = Batch {
            queries: vec![(9, 4), (3, 0), (9, 7)],
            seconds: vec![None, Some(6), None],
            images: vec![5, 3],
            columns: vec![0, 1, 0],
            also_right: vec![false; 9],
        };
        let captioned = [CaptionRow { image: 8, caption: 2 }, CaptionRow { image: 5, caption: 6 }];
        let rows = |trained| BatchRows::new(&batch, &captioned, trained);
        let none = rows(TrainedTowers::None);
        assert_eq!((&none.batch, &none.captioned[..]), (&batch, &captioned[..]));
        assert!(none.images.is_empty() && none.texts.is_empty() && none.captions.is_empty());

        let both = rows(TrainedTowers::Both);
        assert_eq!(
            (&both.images[..], &both.texts[..]),
            (&[3, 5, 6, 8, 9][..], &[0, 4, 7][..])
        );
        assert_eq!(both.captions, [2, 6]);
        assert_eq!(both.batch.queries, [(4, 1), (0, 0), (4, 2)]);
        assert_eq!(both.batch.images, [1, 0]);
        assert_eq!(both.batch.seconds, [None, Some(2), None]);
        assert_eq!(both.batch.columns, batch.columns);
        assert_eq!(
            both.captioned,
            [CaptionRow { image: 3, caption: 0 }, CaptionRow { image: 1, caption: 1 }]
        );

        let text = rows(TrainedTowers::Text);
        assert!(text.images.is_empty() && text.batch.images == batch.images);
        assert_eq!(text.batch.queries, [(9, 1), (3, 0), (9, 2)]);
        let image = rows(TrainedTowers::Image);
        assert!(image.texts.is_empty() && image.captions.is_empty());
        assert_eq!(image.batch.queries, [(4, 4), (0, 0), (4, 7)]);
        assert_eq!(image.captioned[1], CaptionRow { image: 1, caption: 6 });
    }
}
