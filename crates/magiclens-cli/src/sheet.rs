//! Search results as one HTML file that needs nothing else: the images are in it, it works offline.

use std::sync::Arc;

use magiclens_index::Hit;
use magiclens_report::numbers::count;
use magiclens_report::{Card as ReportCard, Document, Figure, Gallery, Group, Text, Thumbnail, ThumbnailResult};

/// The content of a sheet.
pub(crate) struct Sheet<'a> {
    /// The query image, if there was one.
    pub(crate) query_jpeg: Option<Vec<u8>>,
    /// The text of the query; may be empty.
    pub(crate) text: &'a str,
    /// The results, best first.
    pub(crate) cards: Vec<Card<'a>>,
}

/// One result.
pub(crate) struct Card<'a> {
    pub(crate) hit: &'a Hit,
    /// `None` if the image is gone.
    pub(crate) jpeg: Option<Vec<u8>>,
}

/// The whole file.
pub(crate) fn html(sheet: &Sheet<'_>) -> String {
    let title = match (sheet.text, &sheet.query_jpeg) {
        ("", _) => "Images like this one".to_owned(),
        (text, None) => format!("“{text}”"),
        (text, Some(_)) => format!("This image and “{text}”"),
    };
    let mut document = Document::new(title);
    if let Some(jpeg) = &sheet.query_jpeg {
        let card = ReportCard {
            groups: vec![image(thumbnail(jpeg), "the query image")],
            ..ReportCard::default()
        };
        document.push(small(vec![card]));
    }
    document.push(format!("{}, best first", count(sheet.cards.len(), "result", "results")));
    document.push(small(
        (1..).zip(&sheet.cards).map(|(rank, card)| result(rank, card)).collect(),
    ));
    document.to_html()
}

fn small(cards: Vec<ReportCard>) -> Gallery {
    Gallery {
        cards,
        small: true,
        ..Gallery::default()
    }
}

fn result(rank: usize, Card { hit, jpeg }: &Card<'_>) -> ReportCard {
    let path = hit.image.path().to_string_lossy();
    let name = path.rsplit('/').next().unwrap_or_default();
    let about = &hit.image.payload;
    let caption = about.caption.as_deref().unwrap_or(name);
    let jpeg = jpeg.as_deref().map_or(Err("the file is gone".into()), thumbnail);
    let lines = [
        Some(caption),
        Some(&path),
        about.license.as_deref(),
        about.source.as_deref(),
    ];
    ReportCard {
        title: Text::from(rank).then(Text::small(format!(" {:.3}", hit.score))),
        groups: vec![image(jpeg, caption)],
        about: lines.into_iter().flatten().map(Text::from).collect(),
        ..ReportCard::default()
    }
}

fn image(thumbnail: ThumbnailResult, name: &str) -> Group {
    let figure = Figure {
        image: Some(thumbnail),
        name: name.to_owned(),
        ..Figure::default()
    };
    Group {
        figures: vec![figure],
        ..Group::default()
    }
}

fn thumbnail(jpeg: &[u8]) -> ThumbnailResult {
    Ok(Arc::new(Thumbnail::from_jpeg(jpeg)))
}

#[cfg(test)]
mod tests {
    use magiclens_data::ImageId;
    use magiclens_index::{IndexedImage, Payload};

    use super::*;

    #[test]
    fn everything_is_escaped_and_inside() {
        let image = IndexedImage {
            id: ImageId::of_bytes(b""),
            paths: vec!["/p/<b>\n&.png".into()],
            width: 1,
            height: 1,
            payload: Payload {
                caption: Some("\"><script>alert('x')</script>".to_owned()),
                license: Some("CC <BY>".to_owned()),
                ..Payload::default()
            },
        };
        let hit = Hit { score: 0.5, image };
        let cards = vec![
            Card {
                hit: &hit,
                jpeg: Some(b"jpeg".to_vec()),
            },
            Card { hit: &hit, jpeg: None },
        ];
        let html = html(&Sheet {
            query_jpeg: Some(b"query".to_vec()),
            text: "</title><i>",
            cards,
        });
        for hostile in ["<script", "</title><i>", "<b>", "<BY>", "alt=\"\">", "http:", "https:"] {
            assert!(!html.contains(hostile), "{hostile} is in {html}");
        }
        for part in [
            "src=\"data:image/jpeg;base64,anBlZw==\"",
            "src=\"data:image/jpeg;base64,cXVlcnk=\"",
            "/p/&lt;b&gt; &amp;.png",
            "&quot;&gt;&lt;script&gt;alert('x')",
            "This image and “&lt;/title&gt;&lt;i&gt;”",
            " 0.500</small>",
            "the file is gone",
            "2 results",
        ] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
    }
}
