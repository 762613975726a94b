//! Images that are found, and their sources.

use super::*;

/// The addresses of the only image, the best first.
fn sources(html: &str) -> Vec<String> {
    let image = only(html);
    std::iter::once(&image.url)
        .chain(&image.alternatives)
        .map(|url| short(url).to_owned())
        .collect()
}

#[test]
fn a_image_has_its_address_words_and_size() {
    let image =
        only("<IMG SRC=' ../a&amp;b.png#x ' alt='A &quot;cat&quot;\n on  a mat' title=T width=300 height='200px'>");
    assert_eq!(image.url, "https://site.example/a&b.png");
    assert_eq!((image.alt.as_str(), image.title.as_str()), ("A \"cat\" on a mat", "T"));
    assert_eq!((image.width, image.height), (Some(300), Some(200)));
    let styled = only("<img src=a.png width='50%' style='max-width:9px; WIDTH: 382px; height:20%'>");
    assert_eq!((styled.width, styled.height), (Some(382), None));
}

#[test]
fn the_largest_source_is_the_address_and_the_others_are_alternatives() {
    assert_eq!(
        sources("<img src=s.jpg srcset='m.jpg 640w, l.jpg 1280w'>"),
        ["l.jpg", "m.jpg", "s.jpg"]
    );
    assert_eq!(
        sources("<img src=s.jpg srcset='s.jpg 1x, l.jpg 2x'>"),
        ["l.jpg", "s.jpg"]
    );
    assert_eq!(
        sources(
            "<picture><source type=image/avif srcset=a.avif><source type='image/webp' srcset='b.webp 800w'><img src=c.jpg></picture>"
        ),
        ["b.webp", "c.jpg", "a.avif"]
    );
    // The sources of one `<image>` are not those of the next image.
    assert_eq!(
        names("<picture><source srcset=a.jpg></picture><img src=b.jpg><source srcset=c.jpg><img src=d.jpg>"),
        ["b.jpg", "d.jpg"]
    );
}

#[test]
fn lazy_images_are_found_behind_their_placeholders() {
    for html in [
        "<img src='data:image/gif;base64,R0lGOD' data-src=real.jpg>",
        "<img src=/img/blank.gif data-original=real.jpg>",
        "<img class=lazyload data-lazy-src=real.jpg>",
        "<img src=spacer.gif data-srcset='real.jpg 2x'>",
        "<img data-src='{\"no\":1}' src=real.jpg>",
        "<amp-img src=real.jpg width=4 height=3></amp-img>",
    ] {
        assert_eq!(sources(html), ["real.jpg"], "{html}");
    }
    assert_eq!(
        sources("<img src=tiny.jpg data-src=real.jpg data-lazy-srcset='big.jpg 900w'>"),
        ["big.jpg", "real.jpg", "tiny.jpg"]
    );
    assert_eq!(
        sources("<img src=small.jpg data-large-file=large.jpg data-orig-file=full.jpg>"),
        ["large.jpg", "full.jpg", "small.jpg"]
    );
}

#[test]
fn the_fallback_of_a_lazy_image_is_the_same_image() {
    let after =
        "<img class=lazy src='data:image/png;base64,AA' alt=''> <noscript><img src=real.jpg alt=Cat></noscript>";
    let before = "<noscript><img src=real.jpg alt=Cat></noscript><img class=lazy src=blank.gif>";
    let same = "<img data-src=real.jpg><noscript><img src=real.jpg alt=Cat></noscript>";
    let amp = "<amp-img src=real.jpg alt=Cat><noscript><img src=real.jpg alt=Cat></noscript></amp-img>";
    for html in [after, before, same, amp] {
        assert_eq!(sources(html), ["real.jpg"], "{html}");
        assert_eq!(only(html).alt, "Cat", "{html}");
    }
    // After text, or after an image that needs none, it is another one.
    assert_eq!(
        names("<img data-src=a.jpg>text<noscript><img src=b.jpg></noscript>"),
        ["a.jpg", "b.jpg"]
    );
    assert_eq!(
        names("<img src=a.jpg><noscript><img src=b.jpg></noscript>"),
        ["a.jpg", "b.jpg"]
    );
}

#[test]
fn a_link_to_a_image_file_is_the_better_source() {
    assert_eq!(
        sources("<a href=full.jpg><img src=thumb.jpg></a>"),
        ["full.jpg", "thumb.jpg"]
    );
    assert_eq!(
        only("<a href=full.jpg><img src=thumb.jpg></a>").link,
        "https://site.example/dir/full.jpg"
    );
    assert_eq!(
        sources("<a href='/wiki/File:Cat.jpg'><img src=thumb.jpg></a>"),
        ["thumb.jpg"]
    );
    assert_eq!(
        sources("<a href=next.jpg><img src=arrow.png width=16 height=16></a>"),
        ["arrow.png"]
    );
    assert_eq!(
        names("<a href=full.jpg><img src=a.jpg><img src=b.jpg></a>"),
        ["a.jpg", "b.jpg"]
    );
    // A link that nobody closes ends with what it stands in, or where the next begins.
    assert_eq!(
        names("<p><a href=x.jpg>text</p><img src=a.jpg><a href=y.html><img src=b.jpg>"),
        ["a.jpg", "b.jpg"]
    );
    assert_eq!(only("<a href='javascript:open()'><img src=a.jpg></a>").link, "");
}

#[test]
fn addresses_follow_the_base_of_the_page() {
    assert_eq!(
        only("<head><base href='/pics/'><base href=/no/></head><img src=a.png>").url,
        "https://site.example/pics/a.png"
    );
    assert_eq!(
        only("<base href='//cdn.example/x/'><img src=a.png>").url,
        "https://cdn.example/x/a.png"
    );
    let mut file = raw(b"<img src=../c.png><img src='http://a.example/d.png'><img src='file:///etc/x.png'>");
    file.url = "file:///a/b/page.html".to_owned();
    let urls: Vec<String> = parse(&file, &HtmlConfig::default())
        .unwrap()
        .images
        .into_iter()
        .map(|it| it.url)
        .collect();
    assert_eq!(urls, ["file:///a/c.png", "http://a.example/d.png", "file:///etc/x.png"]);
    assert_eq!(
        names("<img src='file:///etc/x.png'><img src='ftp://a/b.png'><img src=''><img src='#a'><img src=page.html>"),
        [""; 0]
    );
}

#[test]
fn what_is_hidden_drawn_or_a_counting_pixel_is_left_out() {
    assert_eq!(
        names(
            "<img src=a.png hidden><img src=b.png aria-hidden=true><img src=c.png style='display: NONE !important'>
             <div hidden><p><img src=d.png></div><div style='visibility:hidden'><img src=e.png></div>
             <img src=f.svg><img src=g.png width=1 height=1><input type=image src=h.png>
             <video poster=i.png><img src=j.png></video><template><img src=k.png></template>
             <svg><image href=l.png /><foreignObject><img src=m.png></foreignObject></svg>
             <script>document.write('<img src=n.png>')</script><style><img src=o.png></style>
             <textarea><img src=p.png></textarea><!-- <img src=q.png> --><title><img src=r.png></title>
             <iframe><img src=s.png></iframe><div style='background:url(t.png)'></div><select><img src=u.png></select>
             <img src=z.png hidden=until-found>"
        ),
        ["z.png"]
    );
}

#[test]
fn what_follows_a_hidden_element_is_seen() {
    assert_eq!(
        names("<svg><path d=''/><g><title>x</title></g></svg><img src=a.png>"),
        ["a.png"]
    );
    // HTML in a drawing that nobody closed ends the drawing.
    assert_eq!(
        names("<svg><path><div><img src=a.png></div><p>x<img src=b.png>"),
        ["a.png", "b.png"]
    );
    assert_eq!(
        names("<noscript><div><img src=a.png></noscript><img src=b.png>"),
        ["a.png", "b.png"]
    );
    assert_eq!(
        names("<script>if (a<b) '</scr'+'ipt>'</script><img src=a.png>"),
        ["a.png"]
    );
    assert_eq!(names("<template><div></template><img src=a.png>"), ["a.png"]);
    assert_eq!(
        names("<link rel=x><meta name=y>text without body<img src=a.png>"),
        ["a.png"]
    );
    assert_eq!(names("<head><title>x</title><img src=a.png>"), ["a.png"]);
}

#[test]
fn of_repeated_images_the_richest_stays_at_its_place() {
    let html = "<img src=a.png><img src=b.png><figure><img src='a.png#2' alt=A><figcaption>Cap</figcaption></figure>";
    assert_eq!(captions(html), ["b.png=", "a.png=Cap"]);
    assert_eq!(
        names("<img src=a.png alt=x><img src=b.png><img src=a.png alt=x>"),
        ["a.png", "b.png"]
    );
    assert_eq!(
        names("<nav><img src=a.png alt=x title=y></nav><p>z</p><img src=b.png><img src=a.png>"),
        ["b.png", "a.png"]
    );
}

#[test]
fn marks_are_the_words_of_the_names_around() {
    let html = "<div id=far><div class=site-header><div><a class='homeLink'><img class='Logo big' id=logo_1 src=a.png></a></div></div></div>";
    assert_eq!(
        only(html).marks,
        ["logo", "big", "1", "home", "link", "site", "header", "far"]
    );
    assert_eq!(
        only("<div id=five><p id=four><b id=three><i id=two><u id=one><img src=a.png>").marks,
        ["one", "two", "three", "four"]
    );
    assert_eq!(only("<body class=ads><img src=a.png>").marks, [""; 0]);
}

#[test]
fn no_more_images_than_the_limit() {
    let config = HtmlConfig {
        max_images: 2,
        max_alternatives: 1,
        ..HtmlConfig::default()
    };
    let page = parse(
        &raw(b"<img src=1.png><img src=2.png srcset='3.png 2x, 4.png 3x'><img src=5.png>"),
        &config,
    )
    .unwrap();
    let found: Vec<_> = page
        .images
        .iter()
        .map(|image| (short(&image.url), image.alternatives.len()))
        .collect();
    assert_eq!(found, [("1.png", 0), ("4.png", 1)]);
}
