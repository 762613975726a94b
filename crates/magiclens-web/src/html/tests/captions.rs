//! Words that are an image's caption, and words that are not.

use super::*;

/// The numbers of the figures of the images.
fn figures(html: &str) -> Vec<Option<u32>> {
    page(html).images.iter().map(|image| image.figure).collect()
}

#[test]
fn a_figcaption_is_the_caption_of_its_figure() {
    assert_eq!(
        captions("<figure><img src=a.png><figcaption>Cat <b>on</b> H<sub>2</sub>O</figcaption></figure>"),
        ["a.png=Cat on H2O"]
    );
    assert_eq!(
        captions("<figure><figcaption>Cat</figcaption><a href=x><img src=a.png></a></figure><img src=b.png>"),
        ["a.png=Cat", "b.png="]
    );
    // Nobody closed anything.
    assert_eq!(
        captions("<figure><img src=a.png><figcaption>Cat<figure><img src=b.png><figcaption>Dog"),
        ["a.png=", "b.png=Dog"]
    );
}

#[test]
fn a_figure_with_several_images_shares_its_caption_and_its_number() {
    let html = "<figure><div><img src=a.png></div><div><img src=b.png></div><figcaption>Both</figcaption></figure>
                <figure><img src=c.png><figcaption>C</figcaption></figure><img src=d.png>";
    assert_eq!(captions(html), ["a.png=Both", "b.png=Both", "c.png=C", "d.png="]);
    assert_eq!(figures(html), [Some(0), Some(0), Some(1), None]);
}

#[test]
fn own_captions_come_before_that_of_the_figure() {
    let html = "<figure><figure><img src=a.png><figcaption>A</figcaption></figure>
                <figure><img src=b.png></figure><figcaption>Both</figcaption></figure>";
    assert_eq!(captions(html), ["a.png=A", "b.png=Both"]);
    assert_eq!(figures(html), [Some(0), Some(0)]);
}

#[test]
fn docbook_figures_with_a_title_and_captions_of_their_images() {
    let html = r#"<div class="figure"><a id="x"></a><p class="title"><b>Figure 1.1. Example of "Blur"</b></p>
      <div class="figure-contents">
        <div class="mediaobject"><img src="orig.png" alt="Blur"><div class="caption"><p>Original</p></div></div>
        <div class="mediaobject"><img src="blur.png" alt="Blur"><div class="caption"><p>Filter
             <span class="quote">"<span class="quote">Blur</span>"</span> applied</p></div></div>
      </div></div><br class="figure-break"><p>Text.</p>
      <div class="figure"><p class="title"><strong>Figure 1.2. Options</strong></p>
      <div class="figure-contents"><div class="mediaobject"><img src="dialog.png"></div></div></div>
      <div class="mediaobject"><img src="alone.png"><div class="caption"><p>Alone</p></div></div>
      <div class="mediaobject"><img src="bare.png"></div>
      <div class="figure"><p class="title">Figure 1.3. Mixed</p><div class="mediaobject"><img src="m1.png"></div>
      <div class="mediaobject"><img src="m2.png"><div class="caption">Own</div></div></div>"#;
    assert_eq!(
        captions(html),
        [
            "orig.png=Original",
            "blur.png=Filter \"Blur\" applied",
            "dialog.png=Figure 1.2. Options",
            "alone.png=Alone",
            "bare.png=",
            "m1.png=Figure 1.3. Mixed",
            "m2.png=Own"
        ]
    );
    assert_eq!(
        figures(html),
        [Some(0), Some(0), Some(1), Some(2), Some(3), Some(4), Some(4)]
    );
}

#[test]
fn captions_of_wikis_blogs_and_manuals() {
    let wiki = r#"<div class="thumb tright"><div class="thumbinner"><a href="/wiki/File:A.jpg" class="image"><img src="a.jpg" class="thumbimage"></a>
      <div class="thumbcaption"><div class="magnify"><a href="/wiki/File:A.jpg">[*]</a></div>With dust</div></div></div>
      <ul class="gallery"><li class="gallerybox"><div><div class="thumb"><img src="b.jpg"></div><div class="gallerytext"><p>Before</p></div></div></li>
      <li class="gallerybox"><div class="thumb"><img src="c.jpg"></div><div class="gallerytext"> </div></li></ul>"#;
    assert_eq!(captions(wiki), ["a.jpg=With dust", "b.jpg=Before", "c.jpg="]);
    let blog = r#"<div id="attachment_1" class="wp-caption alignleft"><a href="x"><img src="a.jpg"></a><p class="wp-caption-text">A day</p></div>
      <dl class="gallery-item"><dt class="gallery-icon"><img src="b.jpg"></dt><dd class="wp-caption-text gallery-caption">B day</dd></dl>
      <div class="img_caption"><img src="c.jpg"><p class="img_caption">C day</p></div>"#;
    assert_eq!(captions(blog), ["a.jpg=A day", "b.jpg=B day", "c.jpg=C day"]);
    let manual = r##"<div class="figure" id="id1"><img src="a.png"><p class="caption"><span class="caption-number">Fig. 1 </span><span class="caption-text">Edges</span><a class="headerlink" href="#id1">¶</a></p></div>
      <div class="imageblock"><div class="content"><img src="b.png"></div><div class="title">Figure 2. Corners</div></div>
      <dl class="gallery"><dt><img src="c.png"></dt><dd>Lines</dd><dt><img src="d.png"></dt><dd>Arcs</dd></dl>"##;
    assert_eq!(
        captions(manual),
        [
            "a.png=Fig. 1 Edges",
            "b.png=Figure 2. Corners",
            "c.png=Lines",
            "d.png=Arcs"
        ]
    );
}

#[test]
fn a_caption_without_a_figure_belongs_to_the_image_beside_it() {
    assert_eq!(
        captions("<div><img src=a.png><p class=caption>A</p> <img src=b.png><p class=caption>B</p></div>"),
        ["a.png=A", "b.png=B"]
    );
    assert_eq!(
        captions(
            "<div><p>text</p><p class=caption>A</p><img src=a.png><p>text</p><p class=caption>B</p><img src=b.png></div>"
        ),
        ["a.png=A", "b.png=B"]
    );
    assert_eq!(
        captions("<a href=x data-caption='From the link'><img src=a.png></a>"),
        ["a.png=From the link"]
    );
    assert_eq!(
        captions("<img src=a.png data-caption='&lt;p&gt;no&lt;/p&gt;'>"),
        ["a.png="]
    );
}

#[test]
fn in_doubt_there_is_no_caption() {
    // Of two images either could be meant; of two captions, too.
    assert_eq!(
        captions("<div><img src=a.png><img src=b.png><p class=caption>Which?</p></div>"),
        ["a.png=", "b.png="]
    );
    assert_eq!(
        captions("<div><p class=caption>1</p><img src=a.png><p class=caption>2</p></div>"),
        ["a.png="]
    );
    // Text, code, a film or a table stands between.
    assert_eq!(
        captions("<div><img src=a.png><p>text</p><p class=caption>Table 1</p></div>"),
        ["a.png="]
    );
    assert_eq!(
        captions("<div><p class=caption>Listing 1</p><pre>code</pre><img src=a.png></div>"),
        ["a.png="]
    );
    assert_eq!(
        captions("<div><video src=v.mp4></video><p class=caption>A film</p><img src=a.png></div>"),
        ["a.png="]
    );
    // A drawing that is not read keeps its caption from the image after it.
    assert_eq!(
        captions("<div><img src=x.svg><p class=caption>Drawing</p><img src=a.png><p class=caption>A</p></div>"),
        ["a.png=A"]
    );
    // Captions do not leave their section.
    assert_eq!(
        captions("<section><p class=caption>Of a table</p></section><img src=a.png>"),
        ["a.png="]
    );
    assert_eq!(
        captions("<fieldset><legend>Form</legend><img src=a.png></fieldset>"),
        ["a.png="]
    );
}

#[test]
fn the_text_beside_a_single_image_in_a_cell_is_its_caption() {
    let html = "<table><tr><td>&nbsp;<img src=a.png><br><i>Under a</i></td><td>Above b<br><img src=b.png></td></tr>
                <tr><td><img src=c.png> beside c</td><td>over<br><img src=d.png><br>under</td></tr></table>";
    assert_eq!(captions(html), ["a.png=Under a", "b.png=Above b", "c.png=", "d.png="]);
    let long = "word ".repeat(50);
    assert_eq!(
        captions(&format!(
            "<table><tr><td><img src=a.png><p>{long}</p></td></tr></table>"
        )),
        ["a.png="]
    );
    assert_eq!(
        captions("<table class=figure><tr><td><img src=a.png></td></tr><tr><td>Old style</td></tr></table>"),
        ["a.png=Old style"]
    );
}

#[test]
fn rows_of_words_caption_rows_of_images() {
    let above = "<table><tr><td><p>Original</p></td><td><p>Blur</p></td></tr>
                 <tr><td><img src=a.png></td><td><img src=b.png></td></tr></table>";
    assert_eq!(captions(above), ["a.png=Original", "b.png=Blur"]);
    assert_eq!(figures(above), [Some(0), Some(0)]);
    let below = "<table><tr><th><img src=a.png><th><img src=b.png><tr><td>A<td>B<tr><td><img src=c.png><td><tr><td>C<td></table>";
    assert_eq!(captions(below), ["a.png=A", "b.png=B", "c.png=C"]);
    // A row of words for two rows of images says too little; so does one with fewer cells.
    let one = "<table><tr><td>A<td>B<tr><td><img src=a.png><td><img src=b.png><tr><td><img src=c.png><td><img src=d.png></table>";
    assert_eq!(captions(one), ["a.png=", "b.png=", "c.png=", "d.png="]);
    let fewer = "<table><tr><td colspan=2>Both<tr><td><img src=a.png><td><img src=b.png></table>";
    assert_eq!(captions(fewer), ["a.png=", "b.png="]);
    // The cells of a table in a cell are its own.
    let nested = "<table><tr><td><table><tr><td>A<tr><td><img src=a.png></table><tr><td>words</table>";
    assert_eq!(captions(nested), ["a.png=A"]);
}

#[test]
fn rows_of_a_name_and_a_image_are_labeled() {
    let html = "<table><tr><th>Mode<th>Example<tr><td>edge<td><img src=a.png><tr><td>tile<td><img src=b.png></table>";
    assert_eq!(captions(html), ["a.png=edge", "b.png=tile"]);
    assert_eq!(captions("<table><tr><td>words<td><img src=a.png></table>"), ["a.png="]);
    assert_eq!(
        captions("<table><tr><td>a<td><img src=a.png><tr><td>b<td><img src=b.png> c</table>"),
        ["a.png=", "b.png="]
    );
}

#[test]
fn symbols_in_a_caption_take_no_caption() {
    let html = "<div class=figure><p class=title>Title</p><div class=mediaobject><img src=a.png>
                <div class=caption>Press <img src=i.png> twice</div></div><div class=mediaobject><img src=b.png></div></div>";
    assert_eq!(captions(html), ["a.png=Press twice", "i.png=", "b.png=Title"]);
}

#[test]
fn text_under_a_centerd_image_is_its_caption() {
    assert_eq!(
        captions("<center><img src=a.png border=1><br>Scatterplot of two bands</center>"),
        ["a.png=Scatterplot of two bands"]
    );
    assert_eq!(
        captions("<div style='margin:0; text-align: center'><img src=a.png><p>A <b>grid</b></p></div>"),
        ["a.png=A grid"]
    );
    assert_eq!(
        captions("<div align=center><a href=a.png><img src=a.png><br></a><i>Figure: a grid</i></div><p>More text."),
        ["a.png=Figure: a grid"]
    );
    assert_eq!(
        captions("<p><img src=a.png><br>Fig. 3: a grid</p><p><img src=b.png><br>You can see a grid</p>"),
        ["a.png=Fig. 3: a grid", "b.png="]
    );
    assert_eq!(
        captions(
            "<center><img src=a.png> <img src=b.png><br>Figure: steps</center><center><img src=c.png><img src=d.png><br>steps</center>"
        ),
        ["a.png=Figure: steps", "b.png=Figure: steps", "c.png=", "d.png="]
    );
    assert_eq!(
        captions(
            "<ul class=img-list><li><a href=x><img src=a.png><br><span>r.sun</span></a><li><img src=b.png> inline</ul>"
        ),
        ["a.png=r.sun", "b.png="]
    );
    assert_eq!(captions("<ul><li><img src=a.png><p>An entry</p></ul>"), ["a.png="]);
}

#[test]
fn a_name_with_caption_around_a_image_is_no_caption() {
    assert_eq!(
        captions("<div class=image-caption><img src=a.png><p>Below</p></div>"),
        ["a.png=Below"]
    );
    assert_eq!(
        captions("<div class=has-caption><img src=a.png><div class=caption>Own</div></div>"),
        ["a.png=Own"]
    );
    let text = "A long story. ".repeat(100);
    let page = page(&format!("<div class=my-caption><img src=a.png><p>{text}</p></div>"));
    assert_eq!(page.images[0].caption, "");
    assert!(page.images[0].after.starts_with("A long story."));
}
