//! Cleaning of alt texts, captions, headings and titles: credits, numbers, markup and names of sites go.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::file_name::is_file_name;
use crate::english::ENGLISH;
use crate::words::{is_stop_word, words};

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}

static TAG: LazyLock<Regex> = LazyLock::new(|| pattern(r"</?[A-Za-z][^<>]{0,300}>|<!--[^<>]{0,300}-->"));
static SPACES_IN_QUOTES: LazyLock<Regex> = LazyLock::new(|| pattern(r"([“(\[]) | ([”)\],;.!?]+)( |$)"));
static SITE_SEPARATOR: LazyLock<Regex> = LazyLock::new(|| pattern(r"\s+(?:\||[-–—‒―]|::|»|«|·|•|/)\s+|\s*\|\s*"));
static NUMBERING: LazyLock<Regex> = LazyLock::new(|| {
    // "10 best mills" is no numbering.
    pattern(
        r"(?ix)^(?:
          (?:chapter|appendix|section|part)\s+(?:\d{1,3}(?:\.\d{1,3})*|[ivxlc]+|[a-z])\s*[.:)–—-]\s*
        | (?:\d{1,3}|[a-z])(?:\.\d{1,3})+[.:)]?\s+
        | \d{1,3}[.:)]\s+)(\S)",
    )
});

/// Openings without content ("Figure 3:", "image of"), removed until none is left.
static PREFIXES: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        // "Figure 12.4 – ", "Fig. 3a:", "Abb. 2", "Figure:"
        // Without a mark behind the number, a capital must follow: it is kept.
        r"(?i)^(?:fig(?:ure|\.)?|abb(?:ildung|\.)?|plate|exhibit|illustration|image|photo|picture|pic|img)\.?\s*(?:no\.?\s*)?(?:[a-z]\.)?\d+(?:[.\-‑]\d+)*[a-z]?(?:\s*[:.)|\-–—]+\s*|\s+(?-i:([\p{Lu}“]))|$)",
        r"(?i)^(?:fig(?:ure|\.)?|caption|image|photo|picture|screenshot|illustration|alt(?: text)?|description|title|thumbnail)\s*:\s*",
        r"(?i)^(?:this|the|an|a)?\s*(?:close-?up\s+)?(?:stock\s+)?(?:image|picture|pic|photo|photograph|screen ?shot|illustration|graphic|thumbnail)s?\s+(?:of|showing|shows|depicting|displaying)\s+",
        r"^(?:file|File|Image|Datei|Fichier):",
        r#"^(?:alt|title)\s*=\s*["']?"#,
        r"^[\s:;,.|•·*>»–—-]+",
    ]
    .map(pattern)
    .into()
});

/// Endings without content ("click to enlarge"), removed likewise.
static SUFFIXES: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        r"(?i)[\s(\[.,;|–—-]*(?:please\s+)?(?:click|tap|press)\s+(?:here\s+|on\s+)?(?:(?:the\s+|this\s+)?(?:image|picture|photo|thumbnail)\s+)?(?:to|for)\s+(?:a\s+|the\s+)?(?:enlarge|zoom|view|see|open|large|bigger|full|high|more)[^.)\]]{0,60}[.)\]]*$",
        r"(?i)[\s(\[.,;|–—-]*(?:photo(?:graph)?s?|image|picture|illustration|foto|graphic)\s*(?:credits?\s*)?(?::|by\s|courtesy\b|©|credit\b)[^()]{0,80}[)\]]*$",
        r"(?i)[\s(\[.,;|–—-]*(?:source|credits?|courtesy of|courtesy|copyright|©|\(c\))\s*[:\s][^()]{0,80}[)\]]*$",
        r"(?i)[\s(\[.,;|–—-]*(?:enlarge(?: image)?|(?:royalty[- ]free |free )?stock (?:photo|image|illustration)s?|zoom in|view larger|full size)[.)\]]*$",
        r"(?:[\s¶#:;,|•·*>»–—-]|\.\.\.)+$",
    ]
    .map(pattern)
    .into()
});

/// One line of text: named and numbered characters decoded, tags and invisible characters gone, single spaces.
pub(crate) fn one_line(text: &str) -> String {
    // Twice: "&amp;amp;" is common.
    let text = decode_entities(text);
    let text = decode_entities(&text);
    let text = TAG.replace_all(&text, " ");
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // Soft hyphen, zero widths, marks of direction, variation selectors, private use.
            '\u{ad}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}'
            | '\u{fffd}' => {}
            '\u{fe00}'..='\u{fe0f}' | '\u{e000}'..='\u{f8ff}' | '¶' => {}
            'ﬀ' => line.push_str("ff"),
            'ﬁ' => line.push_str("fi"),
            'ﬂ' => line.push_str("fl"),
            'ﬃ' => line.push_str("ffi"),
            'ﬄ' => line.push_str("ffl"),
            '…' => line.push_str("..."),
            // Full-width letters to ordinary ones.
            '\u{ff01}'..='\u{ff5e}' => line.extend(char::from_u32(c as u32 - 0xfee0)),
            c if c.is_whitespace() || c.is_control() => line.push(' '),
            c => line.push(c),
        }
    }
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    SPACES_IN_QUOTES.replace_all(&line, "$1$2$3").into_owned()
}

/// The words of an alt text, a caption or a title that tell about the image; empty if none do.
pub(crate) fn describing(text: &str) -> String {
    let line = one_line(text);
    let rest = without_affixes(&line);
    // The end of a quotation whose beginning was taken away.
    let open = rest.strip_suffix('"').filter(|open| !open.contains('"'));
    let rest = open.unwrap_or(rest);
    if says_nothing(rest) {
        String::new()
    } else {
        rest.to_owned()
    }
}

/// The line without the prefixes and suffixes that describe nothing, however many there are.
fn without_affixes(line: &str) -> &str {
    let mut rest = line;
    loop {
        let before = rest.len();
        for prefix in PREFIXES.iter() {
            if let Some(found) = prefix.captures(rest) {
                rest = &rest[found.get(1).map_or(found[0].len(), |kept| kept.start())..];
            }
        }
        for suffix in SUFFIXES.iter() {
            if let Some(found) = suffix.find(rest) {
                rest = &rest[..found.start()];
            }
        }
        if rest.len() == before {
            return rest;
        }
    }
}

/// True for alt texts, captions and titles that do not tell what an image shows: file names, "image", "1 of 3", leftovers of
/// templates, signs.
pub(crate) fn says_nothing(text: &str) -> bool {
    let leftovers = ["<?", "{{", "${", "<%", "[[", "%s", "function(", "var ", "@media"];
    if is_file_name(text) || leftovers.iter().any(|leftover| text.contains(leftover)) {
        return true;
    }
    let tells = |word: &String| {
        let letters = word.chars().filter(|c| c.is_alphabetic()).count();
        let ascii = word.is_ascii();
        (2 <= letters || (!ascii && letters == 1)) && !is_stop_word(word) && !ENGLISH.metadata.empty.has(word)
    };
    !words(text).iter().any(tells)
}

/// A heading without its number: "14.8.3. Wave options" to "Wave options"; empty if only a number is left.
pub(crate) fn heading(text: &str) -> String {
    let line = one_line(text);
    let bare = NUMBERING.replace(&line, "$1");
    let bare = bare.trim_matches(|c: char| c.is_whitespace() || "#:|".contains(c));
    let bare = bare.trim_end_matches("...");
    let has_words = bare.contains(char::is_alphabetic);
    if has_words { bare.to_owned() } else { String::new() }
}

/// True for headings that name a kind of text, like "Overview", and no matter.
pub(crate) fn is_plain_heading(heading: &str) -> bool {
    let heading = heading.trim().trim_end_matches([':', '.', '…']).to_lowercase();
    heading.is_empty() || ENGLISH.metadata.plain_headings.has(&heading)
}

/// A page's title without the name of its site: the part that the first heading says too, else the part that does not name the
/// host, else the first.
pub(crate) fn page_title(title: &str, first_heading: &str, url: &str) -> String {
    let line = one_line(title);
    if says_nothing(&line) {
        return String::new();
    }
    let mut parts: Vec<&str> = SITE_SEPARATOR.split(&line).filter(|part| !part.is_empty()).collect();
    if parts.len() <= 1 {
        parts = line.split(": ").collect();
        // "Site: Title" only where something shows it: a colon is common inside titles.
        let shown =
            1 < parts.len() && (names_host(parts[0], url) || squeezed(&heading(first_heading)) == squeezed(parts[1]));
        return heading(if shown { &line[parts[0].len() + 2..] } else { &line });
    }
    let wanted = squeezed(&heading(first_heading));
    let is_said = |part: &&&str| !wanted.is_empty() && squeezed(&heading(part)) == wanted;
    let own = || parts.iter().find(|part| !names_host(part, url));
    heading(parts.iter().find(is_said).or_else(own).unwrap_or(&parts[0]))
}

/// True if a name, without its spaces, stands in the host of an address: "Tate Britain" in `www.tatebritain.example`.
fn names_host(name: &str, url: &str) -> bool {
    let host = url
        .split_once("://")
        .map_or("", |(_, rest)| rest.split(['/', ':']).next().unwrap_or_default());
    let (name, host) = (squeezed(name), squeezed(host));
    3 <= name.len() && host.contains(&name)
}

fn squeezed(text: &str) -> String {
    words(text).concat()
}

/// The characters of entities that survive in attributes and double-encoded text.
fn decode_entities(text: &str) -> Cow<'_, str> {
    static ENTITY: LazyLock<Regex> = LazyLock::new(|| pattern(r"&([^&;]{1,8});"));
    ENTITY.replace_all(text, |found: &Captures<'_>| match entity(&found[1]) {
        Some(c) => c.to_string(),
        None => found[0].to_owned(),
    })
}

fn entity(name: &str) -> Option<char> {
    const NAMED: [(&str, char); 14] = [
        ("amp", '&'),
        ("lt", '<'),
        ("gt", '>'),
        ("quot", '"'),
        ("apos", '\''),
        ("nbsp", ' '),
        ("ndash", '–'),
        ("mdash", '—'),
        ("lsquo", '‘'),
        ("rsquo", '’'),
        ("ldquo", '“'),
        ("rdquo", '”'),
        ("hellip", '…'),
        ("copy", '©'),
    ];
    let Some(number) = name.strip_prefix('#') else {
        return NAMED.iter().find(|(known, _)| *known == name).map(|(_, c)| *c);
    };
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => number.parse().ok()?,
    };
    char::from_u32(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_tells() {
        let check = |text: &str, expected: &str| assert_eq!(describing(text), expected, "{text}");
        check("Figure 3: A red bridge", "A red bridge");
        check("Fig. 12.4 – Tower at dusk", "Tower at dusk");
        check("Figure 17.2. Original for demo", "Original for demo");
        check("Figure: Steps to digitize", "Steps to digitize");
        check("A screenshot of the main window", "the main window");
        check("Image of a cat (click to enlarge)", "a cat");
        check("Harbour wall. Click on the image for a larger version", "Harbour wall");
        check("Old mill, photo by Jane Doe", "Old mill");
        check("Old mill (Photo: Jane Doe)", "Old mill");
        check("Old mill © 2012 Jane Doe", "Old mill");
        check("A photo of the mill | ", "the mill");
        check("Tom &amp;amp; Jerry&nbsp;on <b>stage</b>", "Tom & Jerry on stage");
        check("The “ Buffers ” dialog ( grid )", "The “Buffers” dialog (grid)");
        check("Photographers at work", "Photographers at work");
        check("Figures in a landscape", "Figures in a landscape");
        check("Picture window of a house", "Picture window of a house");
        check("Ｆｕｊｉ\u{200b} ﬁeld\u{ad}s", "Fuji fields");
        check("富士山", "富士山");
        check("alt=\"Zoph icon\"", "Zoph icon");
        check("Figure 4 The mill", "The mill");
        check("Figure A.19. The mill", "The mill");
        check("Picture 2 dogs", "Picture 2 dogs");
        check("The .NET logo", "The .NET logo");
        check("Color to Alpha…", "Color to Alpha");
        check("Flood Fill¶", "Flood Fill");
    }

    #[test]
    fn empties_what_tells_nothing() {
        for text in [
            "",
            "image",
            "Image 3",
            "photo of",
            "IMG_2031.JPG",
            "images/foo.png",
            "foo_bar.png",
            "DSC 0042",
            "12",
            "...",
            "logo",
            "<?= tr(\"Planet map\")?>",
            "{{ alt }}",
            "Click to enlarge",
            "Figure 3",
            "view larger",
            "an image",
            "x",
            "👍",
            "Screen Shot 2020-01-01 at 10.20.30",
            "[*]",
        ] {
            assert_eq!(describing(text), "", "{text}");
        }
    }

    #[test]
    fn strips_numbers_of_headings() {
        let check = |text: &str, expected: &str| assert_eq!(heading(text), expected, "{text}");
        check("14.8.3. Wave options", "Wave options");
        check("3. Blur Filters", "Blur Filters");
        check("Chapter 3. Layers", "Layers");
        check("Chapter 3", "Chapter 3");
        check("2001 A Space Odyssey", "2001 A Space Odyssey");
        check("3D view", "3D view");
        check("A. B. Yehoshua", "A. B. Yehoshua");
        check("Gamma¶", "Gamma");
        check("Part 2 of the walk", "Part 2 of the walk");
        check("Part IV: The walk", "The walk");
        check("10 best mills", "10 best mills");
        check("4.2", "");
    }

    #[test]
    fn strips_sites() {
        let check = |title: &str, heading: &str, url: &str, expected: &str| {
            assert_eq!(page_title(title, heading, url), expected, "{title}");
        };
        check("Chapter 3 - GIMP", "", "", "Chapter 3");
        check(
            "Old mills | The Mill Post",
            "",
            "https://millpost.example/a",
            "Old mills",
        );
        check("The Mill Post | Old mills", "Old mills", "", "Old mills");
        check(
            "Mill Post – Old mills",
            "",
            "https://www.millpost.example/a",
            "Old mills",
        );
        check("Mill Post: Old mills", "Old mills", "", "Old mills");
        check("Mill Post: Old mills", "", "https://millpost.example", "Old mills");
        check(
            "Whirl: a short history",
            "",
            "https://other.example",
            "Whirl: a short history",
        );
        check("Black-and-white mills", "", "", "Black-and-white mills");
        check("6.2. Bloom", "", "", "Bloom");
        check("<?= tr(\"x\") ?>", "", "", "");
    }

    #[test]
    fn survives_odd_input() {
        for text in [
            "&",
            "&#;",
            "&#xffffffff;",
            "&#55555555555555;",
            "<",
            "<a",
            "((((",
            "¶¶",
            "\u{0}",
        ] {
            let _ = (describing(text), heading(text), page_title(text, text, text));
        }
        assert_eq!(describing(&"(".repeat(100_000)), "");
        assert_eq!(one_line("a &lt;b&gt; c"), "a c");
    }
}
