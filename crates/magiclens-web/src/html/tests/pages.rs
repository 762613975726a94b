//! Properties of a whole page, and of the text around its images.

use super::*;
use crate::page::Region;

/// Address and region of each image.
fn regions(html: &str) -> Vec<(String, Region)> {
    page(html)
        .images
        .iter()
        .map(|image| (short(&image.url).to_owned(), image.region))
        .collect()
}

fn region_of(html: &str) -> Region {
    only(html).region
}

#[test]
fn title_heading_and_language() {
    let page = page(
        "<!doctype html><html lang=' en-GB '><head><meta property=og:title content=Shared><title> A &amp; B\n</title></head>
         <body><svg><title>drawing</title></svg><h1></h1><h1>First <small>one</small></h1><h1>Second</h1>",
    );
    assert_eq!(page.title, "A & B");
    assert_eq!(page.heading, "First one");
    assert_eq!(page.language, "en-GB");
    assert_eq!(
        super::page("<meta property=og:title content='Shared  title'><p>").title,
        "Shared title"
    );
    assert_eq!(super::page("<html xml:lang=de><p>").language, "de");
    assert_eq!(
        super::page("<header><h1>Site</h1></header><main><h1>Subject</h1></main>").heading,
        "Subject"
    );
    assert_eq!(
        super::page("<header><h1>Subject</h1></header><main><p>text</main>").heading,
        "Subject"
    );
}

#[test]
fn licenses_are_read_where_pages_state_them() {
    let license = |html: &str| page(html).license;
    let cc = "https://creativecommons.org/licenses/by/4.0/";
    assert_eq!(license(&format!("<a rel='external license' href='{cc}'>CC</a>")), cc);
    assert_eq!(license(&format!("<link rel=license href='{cc}#x'>")), cc);
    assert_eq!(
        license("<a rel=license href=../licence.html>L</a>"),
        "https://site.example/licence.html"
    );
    assert_eq!(
        license("<meta name=copyright content='Ann'><meta name='DC.rights' content='CC  BY'>"),
        "CC BY"
    );
    assert_eq!(license("<meta name=dcterms.license content=CC0>"), "CC0");
    assert_eq!(
        license(&format!(
            "<script type='application/ld+json'>{{\"@graph\":[{{\"x\":1}},{{\"license\":{{\"@id\":\"{cc}\"}}}}]}}</script>"
        )),
        cc
    );
    assert_eq!(
        license("<script type='application/ld+json'>{\"image\":{\"license\":\"no\"}}</script>"),
        ""
    );
    assert_eq!(
        license("<script type='application/ld+json'>{\"license\": </script><p>"),
        ""
    );
    assert_eq!(license("<a href=x rel=nofollow>l</a>"), "");
}

#[test]
fn wishes_to_be_left_alone_are_heard() {
    let wishes = |html: &str| page(html).opt_outs;
    assert_eq!(
        wishes("<meta name=ROBOTS content='NoImageIndex, follow'><meta name=tdm-reservation content=1>"),
        ["noimageindex", "tdm-reservation"]
    );
    assert_eq!(
        wishes("<meta name=googlebot content=none><meta name=robots content='noai,noimageai'>"),
        ["noai", "noimageai", "noindex"]
    );
    assert_eq!(
        wishes("<meta name=robots content='index, follow'><meta name=tdm-reservation content=0>"),
        [""; 0]
    );
    assert_eq!(wishes("<meta name=description content=noindex>"), [""; 0]);
    let mut raw = raw(b"<p>");
    raw.robots_tags = vec![
        "googlebot: noindex, nofollow".to_owned(),
        "noai".to_owned(),
        "unavailable_after: 1 Jan 2030".to_owned(),
    ];
    assert_eq!(
        parse(&raw, &HtmlConfig::default()).unwrap().opt_outs,
        ["noai", "noindex"]
    );
}

#[test]
fn each_image_knows_its_part_of_the_page() {
    assert_eq!(
        regions(
            "<header><img src=a.png></header><nav><img src=b.png></nav><div class=sidebar><img src=c.png></div>
             <div role=complementary><img src=d.png></div><p><img src=e.png></p><ul class=breadcrumbs><li><img src=f.png></ul>
             <article><header><img src=g.png></header></article><footer><img src=h.png></footer><img src=i.png>"
        ),
        [
            ("a.png", Region::Header),
            ("b.png", Region::Navigation),
            ("c.png", Region::Aside),
            ("d.png", Region::Aside),
            ("e.png", Region::Main),
            ("f.png", Region::Navigation),
            ("g.png", Region::Main),
            ("h.png", Region::Footer),
            ("i.png", Region::Main),
        ]
        .map(|(name, region)| (name.to_owned(), region))
    );
}

#[test]
fn what_is_outside_the_main_content_is_beside_it() {
    assert_eq!(
        regions(
            "<img src=a.png><p>text<main><p>words<img src=b.png><aside><img src=c.png></aside></main><div><img src=d.png>"
        ),
        [
            ("a.png", Region::Header),
            ("b.png", Region::Main),
            ("c.png", Region::Aside),
            ("d.png", Region::Aside)
        ]
        .map(|(name, region)| (name.to_owned(), region))
    );
    let text = "words of the story ".repeat(9);
    assert_eq!(
        region_of(&format!("<div id=content><p>{text}</div><div><img src=a.png></div>")),
        Region::Aside
    );
    assert_eq!(
        region_of(&format!("<article><p>{text}</article><div><img src=a.png></div>")),
        Region::Aside
    );
    // A teaser is an `<article>`, too, but little of the page.
    assert_eq!(
        region_of(&format!("<article>teaser</article><div><p>{text}<img src=a.png></div>")),
        Region::Main
    );
}

#[test]
fn the_text_of_the_page_is_that_of_its_main_content() {
    let html =
        "<nav>Menu</nav><h1>Cats</h1><p>Cats\n   purr.<pre>code()</pre><p>They sleep.<script>x</script><style>y</style>
                <button>Buy</button><footer>Imprint</footer>";
    assert_eq!(page(html).text, "Cats Cats purr. They sleep.");
    assert_eq!(
        page("<p>before<main>Story<nav>1 2 3</nav> goes on</main>after").text,
        "Story goes on"
    );
    let config = HtmlConfig {
        max_text_chars: 9,
        ..HtmlConfig::default()
    };
    assert_eq!(parse(&raw(b"<p>one two three"), &config).unwrap().text, "one two");
}

#[test]
fn context_stops_at_headings_and_other_images() {
    let html = "<h2>Cats</h2><p>First text.</p><img src=a.png><p>Second text.<img src=b.png>Third
                text.<h3>Dogs <a class=headerlink href=x>#</a></h3><img src=c.png><p>Last</p><footer>Imprint</footer>";
    let context: Vec<_> = page(html)
        .images
        .into_iter()
        .map(|it| (it.heading, it.before, it.after))
        .collect();
    let expected = [
        ("Cats", "First text.", "Second text."),
        ("Cats", "Second text.", "Third text."),
        ("Dogs", "", "Last"),
    ];
    assert_eq!(
        context,
        expected.map(|(heading, before, after)| (heading.to_owned(), before.to_owned(), after.to_owned()))
    );
}

#[test]
fn context_has_whole_words_and_no_captions_or_code() {
    let config = HtmlConfig {
        max_context_chars: 12,
        ..HtmlConfig::default()
    };
    let html = "<p>one two three four<figure><img src=a.png><figcaption>Caption</figcaption></figure><pre>code</pre><p>five six seven eight";
    let image = parse(&raw(html.as_bytes()), &config).unwrap().images.remove(0);
    assert_eq!(
        (image.before.as_str(), image.after.as_str()),
        ("three four", "five six")
    );
}

#[test]
fn the_heading_of_a_card_or_section_stays_there() {
    let headings = |html: &str| -> Vec<String> { page(html).images.into_iter().map(|it| it.heading).collect() };
    assert_eq!(
        headings("<h1>Top</h1><section><h2>One</h2><img src=a.png></section><img src=b.png>"),
        ["One", "Top"]
    );
    // Under its image a heading names it, not the next one.
    assert_eq!(
        headings(
            "<h1>Top</h1><div class=card><img src=a.png><h3>A</h3></div><div class=card><img src=b.png><h3>B</h3></div>"
        ),
        ["Top", "Top"]
    );
    assert_eq!(
        headings("<div class=titlepage><div><h2>Chapter</h2></div></div><p>x</p><img src=a.png>"),
        ["Chapter"]
    );
    assert_eq!(
        headings("<h1>Top</h1><div class=sidebar><h4>Ads</h4></div><img src=a.png>"),
        ["Top"]
    );
    assert_eq!(
        headings("<h2><img src=a.png></h2><img src=b.png><h2>Next<h3>Deeper</h3><img src=c.png>"),
        ["", "", "Deeper"]
    );
}

#[test]
fn pages_in_other_charsets_read_as_meant() {
    let mut raw = raw(b"<meta charset=windows-1251><img src=a.png alt='\xea\xee\xf8\xea\xe0'>");
    raw.content_type = "text/html".to_owned();
    assert_eq!(parse(&raw, &HtmlConfig::default()).unwrap().images[0].alt, "кошка");
    raw.content_type = "text/html; charset=utf-8".to_owned();
    assert_eq!(
        parse(&raw, &HtmlConfig::default()).unwrap().images[0].alt,
        "\u{fffd}".repeat(5)
    );
}
