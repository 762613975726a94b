//! Hints in the classes, the id and the role of an element: the part of the page, figures, captions, the main content.
//!
//! Only names that hardly mean anything else are known here. A caption that is missed costs a little, a wrong one makes a
//! wrong instruction.

use crate::page::Region;

/// The way in which an element holds images and their captions together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wrapper {
    /// It does not.
    #[default]
    None,
    /// Around one image and its caption, sometimes around several such.
    Thumb,
    /// A figure: its caption is about all its images.
    Figure,
}

/// Hints in the names given to an element.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hints {
    /// The part of the page that it is.
    pub(super) region: Option<Region>,
    /// It is the main content.
    pub(super) main: bool,
    /// It is a figure or the like.
    pub(super) wrapper: Wrapper,
    /// It is a caption.
    pub(super) caption: bool,
    /// It is a title, which is a caption inside a figure.
    pub(super) title: bool,
    /// It is one of several like boxes, whose headings are their own.
    pub(super) card: bool,
    /// It lists images.
    pub(super) gallery: bool,
    /// Its text belongs to the page's machinery: edit links, pilcrows.
    pub(super) silent: bool,
    /// It is a mark that leads to a source, if it is raised.
    pub(super) reference: bool,
    /// An image in it is shown late, by a script.
    pub(super) lazy: bool,
}

impl Hints {
    /// The hints of two attributes of one element together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            region: self.region.or(other.region),
            main: self.main || other.main,
            wrapper: self.wrapper.max(other.wrapper),
            caption: self.caption || other.caption,
            title: self.title || other.title,
            card: self.card || other.card,
            gallery: self.gallery || other.gallery,
            silent: self.silent || other.silent,
            reference: self.reference || other.reference,
            lazy: self.lazy || other.lazy,
        }
    }
}

/// Longest name that is looked at; longer ones are made by machines and mean nothing, as do single letters.
const MAX_NAME: usize = 40;
/// The shortest word that [`read_word`] knows.
const MIN_WORD: usize = 4;

/// Reads the names of a `class` or an `id`.
pub(super) fn hints(names: &[u8]) -> Hints {
    let mut hints = Hints::default();
    for name in names
        .split(u8::is_ascii_whitespace)
        .filter(|name| (2..=MAX_NAME).contains(&name.len()))
    {
        if name.eq_ignore_ascii_case(b"wp-caption") {
            // The one name of its kind that holds image and caption.
            hints.wrapper = hints.wrapper.max(Wrapper::Thumb);
            continue;
        }
        let before = hints;
        read_name(name, &mut hints);
        if MIN_WORD <= name.len() {
            each_word(name, |word| read_word(word, &mut hints));
        }
        // `thumb-caption` and `figure-caption` are captions, not what holds them.
        if hints.caption && !before.caption {
            hints.wrapper = before.wrapper;
        }
    }
    hints
}

/// The part of the page that an ARIA role names.
pub(super) fn role_region(role: &[u8]) -> Option<Region> {
    match role.trim_ascii() {
        b"navigation" | b"search" | b"menu" | b"menubar" => Some(Region::Navigation),
        b"banner" => Some(Region::Header),
        b"complementary" => Some(Region::Aside),
        b"contentinfo" => Some(Region::Footer),
        _ => None,
    }
}

/// Calls `visit` with each word of a name, in lower case: `site-Logo_big2` has `site`, `logo`, `big2`, and so has `siteLogo_big2`.
pub(super) fn each_word(name: &[u8], mut visit: impl FnMut(&[u8])) {
    let mut word = [0; MAX_NAME];
    let mut length = 0;
    let mut was_lower = false;
    for &byte in name {
        let is_part = byte.is_ascii_alphanumeric() || 0x80 <= byte;
        if 0 < length && (!is_part || (was_lower && byte.is_ascii_uppercase()) || length == MAX_NAME) {
            visit(&word[..length]);
            length = 0;
        }
        if is_part {
            word[length] = byte.to_ascii_lowercase();
            length += 1;
        }
        was_lower = byte.is_ascii_lowercase();
    }
    if 0 < length {
        visit(&word[..length]);
    }
}

/// Whole names, without their hyphens and underscores.
fn read_name(name: &[u8], hints: &mut Hints) {
    let mut plain = [0; MAX_NAME];
    let mut length = 0;
    for &byte in name.iter().filter(|byte| !matches!(byte, b'-' | b'_' | b':')) {
        plain[length] = byte.to_ascii_lowercase();
        length += 1;
    }
    match &plain[..length] {
        b"nav" | b"navbar" | b"navigation" | b"navheader" | b"navfooter" | b"navmenu" | b"navlinks" | b"mainnav"
        | b"topnav" | b"sidenav" | b"sitenav" | b"subnav" | b"primarynav" | b"mainnavigation" | b"sitenavigation"
        | b"menu" | b"mainmenu" | b"topmenu" | b"sidemenu" | b"submenu" | b"navbox" | b"breadcrumb"
        | b"breadcrumbs" | b"pagination" | b"pager" | b"pagenav" | b"postnavigation" | b"toc" | b"tableofcontents"
        | b"mwpanel" | b"mwnavigation" | b"mwhead" | b"sphinxsidebar" => hints.region = Some(Region::Navigation),
        b"header" | b"siteheader" | b"pageheader" | b"mainheader" | b"globalheader" | b"topheader" | b"masthead"
        | b"topbar" | b"banner" | b"sitebanner" => hints.region = Some(Region::Header),
        b"sidebar" | b"leftsidebar" | b"rightsidebar" | b"sidebarleft" | b"sidebarright" | b"primarysidebar"
        | b"aside" | b"widget" | b"widgets" | b"widgetarea" | b"related" | b"relatedposts" | b"relatedarticles"
        | b"relatedproducts" | b"recommended" | b"recommendations" | b"ad" | b"ads" | b"adsense" | b"adsbygoogle"
        | b"advert" | b"adverts" | b"advertisement" | b"advertising" | b"adbox" | b"adcontainer" | b"adbanner"
        | b"sponsor" | b"sponsors" | b"sponsored" | b"promo" | b"share" | b"sharing" | b"social" | b"socialshare"
        | b"sociallinks" | b"comments" | b"commentlist" | b"cookie" | b"cookiebanner" | b"cookienotice"
        | b"newsletter" => hints.region = Some(Region::Aside),
        b"footer" | b"sitefooter" | b"pagefooter" | b"mainfooter" | b"globalfooter" | b"colophon" => {
            hints.region = Some(Region::Footer);
        }
        b"content" | b"maincontent" | b"main" | b"bodycontent" | b"mwcontenttext" | b"mwbody" | b"mwparseroutput"
        | b"pagecontent" | b"sitecontent" | b"entrycontent" | b"postcontent" | b"postbody" | b"articlebody"
        | b"articlecontent" | b"storybody" | b"documentcontent" | b"bodywrapper" => hints.main = true,
        b"galleryitem" | b"gallerybox" | b"thumbinner" | b"thumbcontainer" | b"imagecontainer" | b"imgcontainer"
        | b"imagewrapper" | b"imgwrapper" | b"tsingle" => {
            hints.wrapper = hints.wrapper.max(Wrapper::Thumb);
        }
        b"figure" | b"informalfigure" | b"mediaobject" | b"imageblock" | b"multiimageinner" | b"wpblockimage" => {
            hints.wrapper = Wrapper::Figure;
        }
        b"gallerytext" | b"cutline" | b"bildunterschrift" | b"legende" | b"legend" => hints.caption = true,
        b"title" => hints.title = true,
        b"reference" => hints.reference = true,
        b"headerlink" | b"anchorlink" | b"mweditsection" | b"magnify" | b"sronly" | b"visuallyhidden"
        | b"screenreadertext" | b"noprint" => hints.silent = true,
        b"imglist" | b"imagelist" | b"thumblist" | b"photolist" => hints.gallery = true,
        _ => {}
    }
}

/// Words of names.
fn read_word(word: &[u8], hints: &mut Hints) {
    match word {
        b"gallery" | b"galleries" | b"thumbs" | b"thumbnails" | b"photos" | b"images" | b"pictures" => {
            hints.gallery = true;
        }
        b"card" | b"tile" | b"teaser" | b"product" | b"item" | b"cell" => hints.card = true,
        b"thumb" | b"thumbnail" => hints.wrapper = hints.wrapper.max(Wrapper::Thumb),
        _ if word.starts_with(b"lazy") => hints.lazy = true,
        // `thumbcaption`, `figcaption`; but `captioned` and `captions` say what is inside.
        _ if word.ends_with(b"caption") => hints.caption = true,
        b"captioned" => hints.wrapper = hints.wrapper.max(Wrapper::Thumb),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fall_into_words() {
        let words = |name: &str| {
            let mut words = Vec::new();
            each_word(name.as_bytes(), |word| {
                words.push(String::from_utf8(word.to_vec()).unwrap())
            });
            words
        };
        assert_eq!(words("site-Logo_big2"), ["site", "logo", "big2"]);
        assert_eq!(words("siteLogo"), ["site", "logo"]);
        assert_eq!(words("--"), [""; 0]);
        assert_eq!(words(&"a".repeat(100)).concat(), "a".repeat(100));
    }

    #[test]
    fn parts_of_the_page_are_known_by_whole_names_only() {
        assert_eq!(hints(b"main-menu big").region, Some(Region::Navigation));
        assert_eq!(hints(b"menu-item-image").region, None);
        assert_eq!(hints(b"site_footer").region, Some(Region::Footer));
        assert_eq!(hints(b"download").region, None);
        assert_eq!(role_region(b"banner"), Some(Region::Header));
    }

    #[test]
    fn figures_and_captions_are_known_by_their_usual_names() {
        assert!(hints(b"thumbcaption").caption);
        assert!(hints(b"wp-caption-text").caption);
        assert!(hints(b"gallery-caption").caption);
        assert_eq!(hints(b"wp-caption alignleft").wrapper, Wrapper::Thumb);
        assert_eq!(hints(b"figure").wrapper, Wrapper::Figure);
        assert_eq!(hints(b"configure").wrapper, Wrapper::None);
        assert!(!hints(b"captions").caption);
        assert!(hints(b"lazyload").lazy);
    }
}
