//! Pages made to hurt: any bytes give a page or a reason, soon and with bounded memory.

use std::time::Instant;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// Megabytes of a repeated piece, perhaps after something.
fn long(start: &str, piece: &str, megabytes: usize) -> RawPage {
    raw((start.to_owned() + &piece.repeat((megabytes << 20) / piece.len())).as_bytes())
}

/// Seconds that a page may take in an unoptimized build on a busy machine; whatever is quadratic takes hours.
const MAX_SECONDS: u64 = 60;

#[test]
fn megabytes_of_anything_take_time_in_proportion() {
    let pages = [
        ("", "<div><div>"),
        ("", "<img src=x.png alt=y>"),
        ("<img src='", "x"),
        ("<img", " src=x"),
        ("", "&amp;&lt;&#65;&nosuch;"),
        ("<", "a"),
        ("", "<div class=figure><img src=a.png>"),
        ("", "<img>"),
        ("", "<p class=caption>x</p>"),
        ("", "<img src=data:,><p class=caption>x</p>"),
        ("<img", " a"),
        ("<img ", "srcset='a 1x, b 2x' "),
        ("<img srcset='", "a 1x, "),
        ("<a title=\"", "&amp;&lt;&#65;&nosuch;"),
        ("", "&"),
        ("", "<"),
        ("", "</div>"),
        ("<div><span>", "</b></div x></i>"),
        ("", "<!--"),
        ("", "<![CDATA["),
        ("<script>", "<!--<script>"),
        ("<title>", "x "),
        ("<svg>", "<g><svg><title>"),
        ("", "<table><tr><td>"),
        ("<table>", "<tr><td><img src=a.png><td>x"),
        ("", "<p><b><font>"),
        ("", "<h1>x</h1><img src=a.png>"),
        ("", "<h1><div><h2>x"),
        ("", "<a href=x.jpg><img src=a.png>"),
        ("", "<noscript><img src=a.png></noscript><img class=lazy>"),
        ("", "<nav>x</nav>y"),
        ("<pre>", "\n\n   \t"),
        ("", "\u{a0}"),
        ("", "\u{0}<\u{0}>"),
        ("", "<body><main><article>x"),
        ("<script type=application/ld+json>", "{\"license\":["),
        ("<figure>", "<figcaption>x"),
    ];
    // The unoptimized build needs seconds for ten megabytes, so that only the plainest attacks have that size here.
    for (at, (start, piece)) in pages.into_iter().enumerate() {
        let page = long(start, piece, if at < 6 { 10 } else { 1 });
        let began = Instant::now();
        let parsed = parse(&page, &HtmlConfig::default());
        assert!(
            began.elapsed().as_secs() < MAX_SECONDS,
            "{start}{piece}: {:?}",
            began.elapsed()
        );
        if let Ok(parsed) = parsed {
            assert!(parsed.images.len() <= 1000, "{start}{piece}");
            assert!(serde_json::to_vec(&parsed).unwrap().len() < 4 << 20, "{start}{piece}");
        }
    }
}

#[test]
fn too_long_no_html_and_no_address_are_reasons() {
    let config = HtmlConfig {
        max_html_bytes: 9,
        ..HtmlConfig::default()
    };
    assert_eq!(parse(&raw(b"<p>1234567"), &config), Err(TOO_LARGE));
    assert!(parse(&raw(b"<p>123456"), &config).is_ok());
    assert_eq!(parse(&raw(b""), &config), Err(NOT_HTML));
    assert_eq!(parse(&raw(b"\x89PNG"), &config), Err(NOT_HTML));
    for url in ["", "page.html", "mailto:a@b", "data:text/html,x"] {
        assert_eq!(
            parse(
                &RawPage {
                    url: url.to_owned(),
                    ..raw(b"<p>")
                },
                &config
            ),
            Err(BAD_ADDRESS),
            "{url}"
        );
    }
}

#[test]
fn nesting_beyond_the_limit_hides_nothing() {
    let html = format!(
        "{}<img src=a.png><p>text{}<img src=b.png>",
        "<div>".repeat(2000),
        "</div>".repeat(2000)
    );
    assert_eq!(names(&html), ["a.png", "b.png"]);
    let html = format!(
        "{}<script>x</script><title>T</title><img src=a.png>",
        "<font>".repeat(2000)
    );
    assert_eq!(names(&html), ["a.png"]);
    let html = format!(
        "{}<script>'<img src=x.png>'</script><title>T</title><p>text",
        "<div>".repeat(2000)
    );
    assert_eq!(
        (
            page(&html).title.as_str(),
            page(&html).text.as_str(),
            page(&html).images.len()
        ),
        ("T", "text", 0)
    );
}

#[test]
fn an_attribute_that_is_too_long_is_no_address() {
    let config = HtmlConfig {
        max_attribute_bytes: 10,
        ..HtmlConfig::default()
    };
    let page = parse(
        &raw(b"<img src=0123456789a.png data-src=b.png alt='0123456789abc'>"),
        &config,
    )
    .unwrap();
    assert_eq!(short(&page.images[0].url), "b.png");
    assert!(page.images[0].alternatives.is_empty());
    assert_eq!(page.images[0].alt, "0123456789");
}

/// A page with a bit of everything, to be broken.
const RICH: &str = r#"<!doctype html><html lang=en><head><meta charset=utf-8><title>T &amp; t</title><base href=/b/>
<script type="application/ld+json">{"license":"x"}</script><meta name=robots content=noai></head><body class=x>
<header><h1>Site</h1><img src=logo.png></header><nav><ul class=menu><li><a href=x>y</a><li>z</ul></nav><main><h2>Ä head</h2>
<p>Some text <b>bold<i>both</b></i>&nbsp;&#x1F600; <img src="a.png" srcset="a1.png 1x, a2.png 2x" alt='q"q' width=300>
<figure class="figure f"><picture><source type=image/avif srcset=z.avif><img data-src=b.png class=lazy></picture><noscript><img src=b.png></noscript>
<figcaption>Cap <a href=full.jpg><img src=c.png></a></figcaption></figure><table class=figure><caption>TC</caption><tr><th>A<th>B<tr>
<td><img src=d.png><td><img src=e.png></table><dl class=gallery><dt><img src=f.png><dd>F</dl><center><img src=g.png><br>Fig. 1</center>
<div class="wp-caption"><img src=h.png style="display:none"><p class="wp-caption-text">H</div><svg><path/><title>s</title></svg>
<div class=mediaobject><img src=i.png><div class=caption>I</div></div><pre>x < y</pre><template><p></template></main><aside>ad</aside>
<footer>© <a rel=license href=l>l</a></footer></body></html>"#;

#[test]
fn broken_pages_never_panic_and_read_the_same_twice() {
    let mut random = StdRng::seed_from_u64(7);
    let pieces: Vec<&[u8]> = RICH.split_inclusive('>').map(str::as_bytes).collect();
    let config = HtmlConfig {
        max_depth: 12,
        max_images: 9,
        max_context_chars: 20,
        ..HtmlConfig::default()
    };
    let configs = [HtmlConfig::default(), config];
    for round in 0..3000 {
        let mut html = RICH.as_bytes().to_vec();
        match round % 3 {
            0 => {
                for _ in 0..random.random_range(1..40) {
                    let at = random.random_range(0..html.len());
                    match random.random_range(0..3) {
                        0 => html[at] = random.random(),
                        1 => drop(html.remove(at)),
                        _ => html.insert(at, *b"<>/=\"'& \x00\xff!-".get(random.random_range(0..12)).unwrap()),
                    }
                }
            }
            1 => html.truncate(random.random_range(0..html.len())),
            // The pieces in any order: nothing closes what it should.
            _ => {
                html = (0..80)
                    .flat_map(|_| pieces[random.random_range(0..pieces.len())])
                    .copied()
                    .collect()
            }
        }
        let mut raw = raw(&html);
        if round % 5 == 0 {
            raw.content_type.clear();
        }
        for config in &configs {
            let page = parse(&raw, config);
            assert_eq!(page, parse(&raw, config));
            for image in page.iter().flat_map(|page| &page.images) {
                assert!(image.url.starts_with("http"), "{}", image.url);
                assert!(image.caption.chars().count() <= config.max_caption_chars);
                assert!(image.before.chars().count() <= config.max_context_chars);
                assert!(image.after.chars().count() <= config.max_context_chars);
            }
        }
    }
}

#[test]
fn random_bytes_are_a_page_or_a_reason() {
    let mut random = StdRng::seed_from_u64(8);
    for _ in 0..500 {
        let bytes: Vec<u8> = (0..random.random_range(0..2000)).map(|_| random.random()).collect();
        let raw = RawPage {
            content_type: String::new(),
            ..raw(&bytes)
        };
        assert_eq!(parse(&raw, &HtmlConfig::default()), parse(&raw, &HtmlConfig::default()));
    }
}
