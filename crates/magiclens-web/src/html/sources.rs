//! Sources of an image: `src`, `srcset`, lazy-load attributes, links to the full image; the best first.

use url::Url;

use crate::ascii::{split_at, starts_with};

/// The kind of a source, from the weakest to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// `src`.
    Plain,
    /// A lazy-load attribute, or the `<img>` of a `<noscript>`.
    Lazy,
    /// A `srcset`, by its largest descriptor.
    Set,
    /// The image file that the image links to.
    Link,
    /// An attribute that names the full image, for zooming in.
    Full,
}

/// One address of an image, as written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Source {
    address: String,
    rank: Rank,
    /// Width in pixels as far as it is known; among equals the larger is better.
    width: f32,
    format: Format,
}

/// Readability by our decoders, as far as its type or its name say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Format {
    Vector,
    Unreadable,
    Readable,
}

/// Words of the names of images that only keep a place.
const PLACEHOLDER_WORDS: &str = "blank spacer transparent placeholder pixel lazy lazyload load loading loader 1x1 clear \
dummy empty trans shim grey gray img image px 1 gif dot";

/// Candidates of one `srcset` that are looked at; the rest of a longer one is not.
const MAX_CANDIDATES: usize = 64;

impl Source {
    /// A source from an attribute; none for `data:` addresses and for what is no address.
    pub(super) fn new(address: &[u8], rank: Rank, max_bytes: usize) -> Option<Self> {
        let address = address.trim_ascii();
        let is_elsewhere = starts_with(address, b"data:") || address.starts_with(b"#");
        if address.is_empty() || max_bytes < address.len() || is_elsewhere {
            return None;
        }
        // Scripts keep all sorts of things in their attributes.
        if rank != Rank::Plain && address.iter().any(|byte| matches!(byte, b'{' | b'<' | b'"' | b'\n')) {
            return None;
        }
        Some(Self {
            address: String::from_utf8_lossy(address).into_owned(),
            rank,
            width: 0.0,
            format: format_of_name(address),
        })
    }

    /// The same address, known in a stronger way.
    pub(super) fn at_least(mut self, rank: Rank) -> Self {
        self.rank = self.rank.max(rank);
        self
    }

    /// Shows nothing: stands in until a script puts the real image there.
    pub(super) fn is_placeholder(&self) -> bool {
        let path = self.address.split(['?', '#']).next().unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or_default();
        let stem = name
            .rsplit_once('.')
            .map_or(name, |(stem, _)| stem)
            .to_ascii_lowercase();
        let words = stem.split(|char: char| !char.is_ascii_alphanumeric());
        let mut words = words.filter(|word| !word.is_empty()).peekable();
        words.peek().is_some()
            && words.all(|word| PLACEHOLDER_WORDS.split(' ').any(|known| known == word))
            && !matches!(stem.as_str(), "img" | "image" | "1")
    }
}

/// The sources of a `srcset`, with the type that its `<source>` states; descriptors `w` and `x`.
pub(super) fn read_srcset(
    srcset: &[u8],
    media_type: &[u8],
    css_width: Option<u32>,
    max_bytes: usize,
    into: &mut Vec<Source>,
) {
    let mut rest = srcset;
    for _ in 0..MAX_CANDIDATES {
        (_, rest) = split_at(rest, |byte| !byte.is_ascii_whitespace() && byte != b',');
        if rest.is_empty() {
            return;
        }
        let (word, after) = split_at(rest, |byte| byte.is_ascii_whitespace());
        let (mut address, mut descriptor) = (word, &b""[..]);
        rest = after;
        if let Some(bare) = address.strip_suffix(b",") {
            // No descriptor: the comma ends the candidate. Commas inside belong to the address.
            address = bare;
        } else {
            (descriptor, rest) = split_at(rest, |byte| byte == b',');
        }
        while let Some(bare) = address.strip_suffix(b",") {
            address = bare;
        }
        if let Some(source) = Source::new(address, Rank::Set, max_bytes) {
            into.push(Source {
                width: width_of_descriptor(descriptor.trim_ascii(), css_width),
                format: source.format.min(format_of_type(media_type)),
                ..source
            });
        }
    }
}

/// The absolute addresses, best first, without repetition; without vector drawings, placeholders only if there is nothing else.
pub(super) fn resolve(sources: &[Source], base: &Base, max_sources: usize) -> Vec<String> {
    let mut best: Vec<&Source> = sources
        .iter()
        .filter(|source| source.format != Format::Vector)
        .collect();
    let has_real = 1 < sources.len() && best.iter().any(|source| !source.is_placeholder());
    best.retain(|source| !(has_real && source.is_placeholder()));
    best.sort_by(|a, b| {
        let by_kind = (b.format, b.rank).cmp(&(a.format, a.rank));
        by_kind.then(b.width.total_cmp(&a.width))
    });
    let mut addresses: Vec<String> = Vec::new();
    for source in best {
        if addresses.len() == max_sources {
            break;
        }
        if let Some(address) = base.join(&source.address)
            && !addresses.contains(&address)
        {
            addresses.push(address);
        }
    }
    addresses
}

/// True if an address, as written, names an image file that we read, and not a page about one.
pub(super) fn is_image_file(address: &[u8]) -> bool {
    let (path, name) = path_and_name(address);
    // `File:Cat.jpg` is a page of a wiki; `/blob/` is one of a code host.
    let is_page = name.contains(&b':') || path.windows(6).any(|part| part == b"/wiki/" || part == b"/blob/");
    !is_page
        && !name.starts_with(b"File%3A")
        && matches!(extension(name), Some(extension) if READABLE.contains(&&extension[..]))
}

/// The base of the relative addresses of a page.
pub(super) struct Base {
    page: Url,
    base: Url,
}

impl Base {
    /// `href` is that of the first `<base>`, if there is one.
    pub(super) fn new(page: Url, href: Option<&str>) -> Self {
        let base = href.and_then(|href| page.join(href.trim()).ok());
        let base = base
            .filter(|base| !base.cannot_be_a_base())
            .unwrap_or_else(|| page.clone());
        Self { page, base }
    }

    /// An absolute address without its fragment; none unless it is `http`, `https`, or a file beside a page that is a file.
    pub(super) fn join(&self, address: &str) -> Option<String> {
        let mut url = self.base.join(address.trim()).ok()?;
        url.set_fragment(None);
        let is_allowed = match url.scheme() {
            "http" | "https" => url.has_host(),
            // A page of the web must not make anybody read local files.
            "file" => self.page.scheme() == "file" && url.host().is_none(),
            _ => false,
        };
        (is_allowed && url != self.page).then(|| url.into())
    }
}

const READABLE: [&[u8]; 10] = [
    b"jpg", b"jpeg", b"png", b"gif", b"webp", b"bmp", b"tif", b"tiff", b"jpe", b"jfif",
];

/// An address without query and fragment, and its part behind the last slash.
fn path_and_name(address: &[u8]) -> (&[u8], &[u8]) {
    let (path, _) = split_at(address, |byte| matches!(byte, b'?' | b'#'));
    (path, path.rsplit(|&byte| byte == b'/').next().unwrap_or_default())
}

fn format_of_name(address: &[u8]) -> Format {
    match extension(path_and_name(address).1).as_deref() {
        Some(b"svg" | b"svgz") => Format::Vector,
        Some(b"avif" | b"heic" | b"heif" | b"jxl" | b"jp2" | b"ico" | b"pdf" | b"mp4" | b"webm") => Format::Unreadable,
        _ => Format::Readable,
    }
}

fn format_of_type(media_type: &[u8]) -> Format {
    let (media_type, _) = split_at(media_type, |byte| byte == b';');
    match &media_type.trim_ascii().to_ascii_lowercase()[..] {
        b"image/svg+xml" => Format::Vector,
        b"" | b"image/jpeg" | b"image/jpg" | b"image/png" | b"image/gif" | b"image/webp" | b"image/bmp"
        | b"image/tiff" => Format::Readable,
        _ => Format::Unreadable,
    }
}

/// The ending of a file name in lower case.
fn extension(name: &[u8]) -> Option<Vec<u8>> {
    let dot = name.iter().rposition(|&byte| byte == b'.')?;
    (name.len() - dot <= 6).then(|| name[dot + 1..].to_ascii_lowercase())
}

fn width_of_descriptor(descriptor: &[u8], css_width: Option<u32>) -> f32 {
    let mut width = 0.0;
    for part in descriptor.split(u8::is_ascii_whitespace) {
        let Some((unit, number)) = part.split_last() else {
            continue;
        };
        let number = std::str::from_utf8(number)
            .ok()
            .and_then(|number| number.parse::<f32>().ok());
        match (unit, number.filter(|number| number.is_finite() && 0.0 < *number)) {
            (b'w', Some(number)) => width = number,
            (b'x', Some(number)) => width = number * css_width.unwrap_or(1) as f32,
            _ => {}
        }
    }
    width
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Base {
        Base::new(Url::parse("https://a.example/dir/page.html").unwrap(), None)
    }

    fn set(srcset: &str, media_type: &str) -> Vec<Source> {
        let mut sources = Vec::new();
        read_srcset(srcset.as_bytes(), media_type.as_bytes(), None, 2000, &mut sources);
        sources
    }

    fn best(sources: &[Source]) -> Vec<String> {
        resolve(sources, &base(), 9)
            .iter()
            .map(|url| url.trim_start_matches("https://a.example/dir/").to_owned())
            .collect()
    }

    #[test]
    fn the_largest_of_a_srcset_comes_first() {
        assert_eq!(
            best(&set("s.jpg 320w, l.jpg 1280w,m.jpg 640w", "")),
            ["l.jpg", "m.jpg", "s.jpg"]
        );
        assert_eq!(best(&set("a.jpg, b.jpg 2x", "")), ["b.jpg", "a.jpg"]);
        assert_eq!(
            best(&set("  a,b.jpg?w=1,2 1.5x , c.jpg 3x", "")),
            ["c.jpg", "a,b.jpg?w=1,2"]
        );
        assert_eq!(best(&set("a.jpg,, , b.jpg 800w 600h", "")), ["b.jpg", "a.jpg"]);
        assert_eq!(
            best(&set("a.jpg NaNw, b.jpg infx, c.jpg -3x", "")),
            ["a.jpg", "b.jpg", "c.jpg"]
        );
        assert_eq!(best(&set(",,,", "")), [""; 0]);
        // A `data:` address may hold commas; what follows is still found.
        assert_eq!(best(&set("data:image/gif;base64,AAAA 1w, b.jpg 2w", "")), ["b.jpg"]);
    }

    #[test]
    fn what_we_read_comes_before_what_we_do_not() {
        let mut sources = set("a.avif 2000w, b.webp 100w", "");
        sources.extend(set("c 3000w", "image/avif"));
        sources.extend(set("d 10w", "image/webp; q=1"));
        sources.extend(Source::new(b"e.svg", Rank::Plain, 99));
        sources.extend(set("f 10w", "image/svg+xml"));
        assert_eq!(best(&sources), ["b.webp", "d", "c", "a.avif"]);
    }

    #[test]
    fn placeholders_give_way() {
        let plain = |address: &str| Source::new(address.as_bytes(), Rank::Plain, 99).unwrap();
        let lazy = Source::new(b"real.jpg", Rank::Lazy, 99).unwrap();
        assert_eq!(best(&[plain("img/spacer.gif"), lazy.clone()]), ["real.jpg"]);
        assert_eq!(best(&[plain("img/spacer.gif")]), ["img/spacer.gif"]);
        assert_eq!(best(&[plain("small.jpg"), lazy]), ["real.jpg", "small.jpg"]);
        for name in ["blank.gif", "/x/1x1.png?v=1", "lazy_load.gif", "image-placeholder.png"] {
            assert!(plain(name).is_placeholder(), "{name}");
        }
        for name in ["grey-cat.jpg", "img.jpg", "pixelart.png", "dir/", "1.jpg"] {
            assert!(!plain(name).is_placeholder(), "{name}");
        }
        assert_eq!(Source::new(b" DATA:image/png;base64,xx", Rank::Plain, 99), None);
    }

    #[test]
    fn addresses_are_resolved_and_only_images_of_the_web_remain() {
        let base = base();
        assert_eq!(
            base.join(" ../x\n.png#top ").as_deref(),
            Some("https://a.example/x.png")
        );
        assert_eq!(
            base.join("//b.example/a b.png").as_deref(),
            Some("https://b.example/a%20b.png")
        );
        for address in [
            "javascript:alert(1)",
            "file:///etc/passwd",
            "mailto:a@b",
            "#top",
            "",
            "http://",
            "blob:x",
            "https://a.example/dir/page.html#x",
        ] {
            assert_eq!(base.join(address), None, "{address}");
        }
        let file = Base::new(Url::parse("file:///a/b.html").unwrap(), Some("pics/"));
        assert_eq!(file.join("c.png").as_deref(), Some("file:///a/pics/c.png"));
        assert_eq!(file.join("//server/c.png"), None);
        let odd = Base::new(Url::parse("http://a.example/x/").unwrap(), Some("data:text/html,x"));
        assert_eq!(odd.join("c.png").as_deref(), Some("http://a.example/x/c.png"));
    }

    #[test]
    fn links_to_images_are_told_from_pages_about_them() {
        for address in ["full.jpg", "http://a/b/C.JPEG?x=1", "x.tiff#a"] {
            assert!(is_image_file(address.as_bytes()), "{address}");
        }
        for address in [
            "/wiki/File:Cat.jpg",
            "File:Cat.jpg",
            "/o/r/blob/main/x.png",
            "view.php?f=a.jpg",
            "a.svg",
            "jpg",
            "",
        ] {
            assert!(!is_image_file(address.as_bytes()), "{address}");
        }
    }
}
