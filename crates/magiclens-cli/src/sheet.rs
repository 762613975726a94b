//! Search results as one HTML file that needs nothing else: the images are in it, it works offline.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use magiclens_index::Hit;

use crate::index::one_line;

/// What a sheet shows.
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
    let mut html = String::new();
    let title = match sheet.text {
        "" => "Search by picture".to_owned(),
        text => escape(text),
    };
    let query = sheet
        .query_jpeg
        .as_deref()
        .map(|jpeg| img(jpeg, "the query picture"))
        .unwrap_or_default();
    let text = match (sheet.text, &sheet.query_jpeg) {
        ("", _) => "like this picture".to_owned(),
        (text, None) => format!("<q>{}</q>", escape(text)),
        (text, Some(_)) => format!("this picture and <q>{}</q>", escape(text)),
    };
    let count = match sheet.cards.len() {
        1 => "1 result".to_owned(),
        count => format!("{count} results"),
    };
    let cards: String = (1..)
        .zip(&sheet.cards)
        .map(|(rank, card)| card_html(rank, card))
        .collect();
    write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title} · magiclens</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n\
         <header>{query}<div><h1>{text}</h1><p>{count}, best first</p></div></header>\n\
         <main><ol>\n{cards}</ol></main>\n</body>\n</html>\n"
    )
    .expect("writing to a string does not fail");
    html
}

const STYLE: &str = "
:root { color-scheme: light dark; --back: #f6f5f2; --card: #fff; --ink: #1d1c1a; --soft: #6b6862; --line: #e2dfd8; --mark: #2f6f5e; }
@media (prefers-color-scheme: dark) {
  :root { --back: #161614; --card: #21211e; --ink: #ecebe6; --soft: #a09d95; --line: #35342f; --mark: #7cc4ae; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
header { display: flex; gap: 1.25rem; align-items: center; padding: 1.5rem clamp(1rem, 4vw, 3rem); border-bottom: 1px solid var(--line); }
header img { width: 128px; height: 128px; object-fit: contain; background: #fff; border-radius: 12px; border: 2px solid var(--mark); }
h1 { margin: 0; font-size: clamp(1.1rem, 2.6vw, 1.6rem); font-weight: 600; overflow-wrap: anywhere; }
header p { margin: .25rem 0 0; color: var(--soft); }
main { padding: 1.5rem clamp(1rem, 4vw, 3rem) 3rem; }
ol { list-style: none; margin: 0; padding: 0; display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(170px, 1fr)); }
li { background: var(--card); border: 1px solid var(--line); border-radius: 12px; overflow: hidden; display: flex; flex-direction: column; }
.picture { aspect-ratio: 1; display: grid; place-items: center; background: #fff; color: #6b6862; }
.picture img { width: 100%; height: 100%; object-fit: contain; padding: 8px; }
.about { padding: .6rem .75rem .75rem; border-top: 1px solid var(--line); display: grid; gap: .2rem; }
.score { display: flex; justify-content: space-between; font-variant-numeric: tabular-nums; color: var(--soft); }
.score b { color: var(--mark); }
.caption { font-weight: 500; overflow-wrap: anywhere; }
.path, .source { color: var(--soft); font-size: 12px; overflow-wrap: anywhere; }
@media print { li { break-inside: avoid; } }
";

fn card_html(rank: usize, card: &Card<'_>) -> String {
    let hit = card.hit;
    let name = hit.image.path().file_name().unwrap_or_default().to_string_lossy();
    let caption = hit.image.payload.caption.as_deref().unwrap_or(&name);
    let image = match &card.jpeg {
        Some(jpeg) => img(jpeg, caption),
        None => "the file is gone".to_owned(),
    };
    let source: Vec<String> = [&hit.image.payload.license, &hit.image.payload.source]
        .into_iter()
        .flatten()
        .map(|text| escape(text))
        .collect();
    let source = match source.is_empty() {
        true => String::new(),
        false => format!("<div class=\"source\">{}</div>", source.join(" · ")),
    };
    format!(
        "<li><div class=\"picture\">{image}</div><div class=\"about\">\
         <div class=\"score\"><span>{rank}</span><b>{:.3}</b></div><div class=\"caption\">{}</div>\
         <div class=\"path\">{}</div>{source}</div></li>\n",
        hit.score,
        escape(caption),
        escape(&hit.image.path().to_string_lossy()),
    )
}

fn img(jpeg: &[u8], alt: &str) -> String {
    format!(
        "<img src=\"data:image/jpeg;base64,{}\" alt=\"{}\">",
        STANDARD.encode(jpeg),
        escape(alt)
    )
}

/// Text for between tags and within quoted attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
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
            paths: vec!["/p/<b>\n&.png".to_owned()],
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
        for hostile in ["<script", "</title><i>", "<b>\n", "<BY>", "alt=\"\">", "http"] {
            assert!(!html.contains(hostile), "{hostile} is in {html}");
        }
        for part in [
            "src=\"data:image/jpeg;base64,anBlZw==\"",
            "src=\"data:image/jpeg;base64,cXVlcnk=\"",
            "/p/&lt;b&gt;\\n&amp;.png",
            "&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)",
            "this picture and <q>&lt;/title&gt;&lt;i&gt;</q>",
            "<b>0.500</b>",
            "the file is gone",
            "2 results",
        ] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
    }
}
