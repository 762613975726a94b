//! The queries that a system got wrong: query, instruction, right answers, answers.

use std::path::PathBuf;

use magiclens_data::decode::{Limits, read_rgb};
use magiclens_report::numbers::points;
use magiclens_report::{Block, Card, Figure, Gallery, Group, Text, Thumbnails};

use super::{BenchmarkReport, Failure, Report, Shown, SystemReport};
use crate::benchmark::Crop;

/// Bytes of the images of all galleries of a page; each gallery gets an equal share, and ends with the card that exceeds it.
const MAX_BYTES: usize = 32 << 20;
/// Failures of a gallery.
const MAX_FAILURES: usize = 60;
/// Images of a query, of its truth, and answers.
const MAX_SHOWN: usize = 10;
/// Measures of a card.
const MAX_VALUES: usize = 4;
/// The longer side of a thumbnail.
const SIDE_PX: u32 = 128;

/// A file, and the bits of the numbers of the part that is shown.
type Key = (PathBuf, Option<[u64; 4]>);

/// The galleries of a page, which share their thumbnails.
pub(super) struct Galleries {
    thumbnails: Thumbnails<Key>,
    budget: usize,
}

impl Galleries {
    pub(super) fn of(report: &Report) -> Self {
        let systems = report.benchmarks.iter().flat_map(|benchmark| &benchmark.systems);
        let count = systems.filter(|system| !system.failures.is_empty()).count();
        Self {
            thumbnails: Thumbnails::new(SIDE_PX),
            budget: MAX_BYTES / count.max(1),
        }
    }

    /// The folded gallery of a system; `None` if nothing went wrong.
    pub(super) fn of_system(&mut self, report: &BenchmarkReport, system: &SystemReport) -> Option<Block> {
        let (mut gallery, mut bytes) = (Gallery::default(), 0);
        for failure in system.failures.iter().take(MAX_FAILURES) {
            let shown = [&failure.images, &failure.truth]
                .into_iter()
                .flat_map(|shown| shown.iter().take(MAX_SHOWN));
            let answers = failure.answers.iter().take(MAX_SHOWN).map(|answer| &answer.shown);
            let keys: Vec<Key> = shown.chain(answers).filter_map(key).collect();
            self.thumbnails.add(keys, |(path, crop)| {
                let image = read_rgb(path, &Limits::default())?;
                Ok::<_, magiclens_data::decode::DecodeError>(match crop {
                    Some(bits) => crop_of(*bits).apply(&image),
                    None => image,
                })
            });
            let card = self.card(report, failure);
            bytes += card.image_bytes();
            gallery.cards.push(card);
            if bytes >= self.budget {
                break;
            }
        }
        let (shown, all) = (gallery.cards.len(), system.failures.len());
        let mut blocks = vec![Block::from(gallery)];
        if shown < all {
            blocks.push(Block::Note(
                format!("{} more are in the JSON form.", all - shown).into(),
            ));
        }
        let summary = format!("Wrong answers of {}: {all} examples", system.system);
        (all > 0).then(|| Block::HtmlOnly(vec![Block::Folded(summary.into(), blocks)]))
    }

    fn card(&self, report: &BenchmarkReport, failure: &Failure) -> Card {
        // The measures of the table come first: they tell most.
        let place = |label: &str| report.columns.iter().position(|column| column.measure == label);
        let mut values: Vec<(&String, f64)> = failure.values.iter().map(|(label, value)| (label, *value)).collect();
        values.retain(|(_, value)| value.is_finite());
        values.sort_by_key(|(label, _)| place(label).unwrap_or(usize::MAX));
        let values = values.iter().take(MAX_VALUES);
        let values: String = values
            .map(|(label, value)| format!(" · {label} {}", points(*value)))
            .collect();
        let about = format!(
            "{}, {} · query {}{values}",
            failure.task, failure.variant, failure.query
        );
        let group = |title: &str, shown: &[Shown]| Group {
            title: title.to_owned(),
            figures: shown
                .iter()
                .take(MAX_SHOWN)
                .map(|shown| self.figure(shown, None))
                .collect(),
        };
        let answers = failure.answers.iter().take(MAX_SHOWN);
        Card {
            title: Text::from(&failure.text),
            groups: vec![
                group("query", &failure.images),
                group("right", &failure.truth),
                Group {
                    title: "answers".to_owned(),
                    figures: answers
                        .map(|answer| self.figure(&answer.shown, Some(answer.right)))
                        .collect(),
                },
            ],
            about: vec![about.into()],
            ..Card::default()
        }
    }

    fn figure(&self, shown: &Shown, right: Option<bool>) -> Figure {
        Figure {
            image: key(shown).map(|key| self.thumbnails.get(&key)),
            name: shown.name().to_owned(),
            right,
            ..Figure::default()
        }
    }
}

fn key(shown: &Shown) -> Option<Key> {
    match shown {
        Shown::Image { path, crop, .. } => {
            let bits = crop.map(|crop| [crop.left, crop.top, crop.width, crop.height].map(f64::to_bits));
            Some((path.clone(), bits))
        }
        Shown::Text(_) => None,
    }
}

fn crop_of(bits: [u64; 4]) -> Crop {
    let [left, top, width, height] = bits.map(f64::from_bits);
    Crop {
        left,
        top,
        width,
        height,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Answer, samples};
    use super::*;

    fn red(folder: &tempfile::TempDir) -> PathBuf {
        let file = folder.path().join("red.png");
        image::RgbImage::from_pixel(300, 150, image::Rgb([255, 0, 0]))
            .save(&file)
            .unwrap();
        file
    }

    #[test]
    fn failures_show_images_and_names_of_missing_ones() {
        let folder = tempfile::tempdir().unwrap();
        let file = red(&folder);
        let mut report = samples::report();
        let failure = &mut report.benchmarks[0].systems[0].failures[0];
        let shown = samples::image(file.clone());
        failure.answers.push(Answer { shown, right: true });
        let page = report.to_html();
        assert_eq!(page.matches("<img").count(), 1);
        assert!(page.contains("width=\"128\" height=\"64\""), "{page}");
        assert!(page.contains("<li class=\"right\">") && page.contains("<li class=\"wrong\">"));
        assert_eq!(page.matches("class=\"missing\"").count(), 3);
        assert!(page.contains("missing/2.jpg") && page.contains("find a cat but it is black"));
        // GeneCIS shows a square around an object: 17 pixels of a box of 10.
        report.benchmarks[0].systems[0].failures[0].images = vec![Shown::Image {
            id: "box".to_owned(),
            path: file,
            crop: Some(crop_of([50.0, 50.0, 10.0, 10.0].map(f64::to_bits))),
        }];
        assert!(report.to_html().contains("width=\"17\" height=\"17\""));
    }

    #[test]
    fn a_gallery_ends_with_its_budget() {
        let folder = tempfile::tempdir().unwrap();
        let mut report = samples::report();
        let system = &mut report.benchmarks[0].systems[0];
        let mut failure = system.failures[0].clone();
        failure.images = vec![samples::image(red(&folder))];
        system.failures = vec![failure; 100];
        let cards = |budget: usize| {
            let mut galleries = Galleries::of(&report);
            galleries.budget = budget;
            let found = galleries.of_system(&report.benchmarks[0], &report.benchmarks[0].systems[0]);
            let Some(Block::HtmlOnly(blocks)) = found else { panic!() };
            let Block::Folded(_, blocks) = &blocks[0] else { panic!() };
            let Block::Gallery(gallery) = &blocks[0] else { panic!() };
            (gallery.cards.len(), blocks.len())
        };
        // The rest is named in a note.
        assert_eq!((cards(usize::MAX), cards(1)), ((MAX_FAILURES, 2), (1, 2)));
        report.benchmarks[0].systems[0].failures.clear();
        let system = &report.benchmarks[0].systems[0];
        assert_eq!(Galleries::of(&report).of_system(&report.benchmarks[0], system), None);
    }
}
