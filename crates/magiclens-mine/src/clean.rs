//! Cleaning: which images of a page are content (MagicLens, section 3.1: "duplicate, low-resolution and advertising images" go).
//!
//! Two stages: [`Markup`] decides by what the page says, before anything is fetched; [`Pixels`] by the decoded image.
//! The paper gives no thresholds; where a published corpus does (OBELICS, arXiv 2306.16527, appendix A.1.3), its value is named.

use image::RgbImage;
use magiclens_data::ImageId;
use magiclens_data::decode::{DecodeError, Limits, decode_rgb};
use magiclens_data::fingerprint::Fingerprint;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::stage::{Stage, StageInfo};
use magiclens_web::DropReason;
use magiclens_web::page::{PageImage, RawImage, Region};

/// Limits of what counts as content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CleanConfig {
    /// Shorter side of an image. OBELICS asks for 150; 64 keeps the small dialogs and thumbnails of documentation and ends
    /// above the usual icon sizes (16 to 48).
    pub min_side_px: u32,
    /// Longer side over shorter side. OBELICS asks for 2; screenshots of bars and panoramas are longer.
    pub max_aspect: f32,
    /// Encoded size of an image: tracking pixels and spacers lie below.
    pub min_bytes: u64,
    /// Encoded size of an image: what may be read into memory.
    pub max_bytes: u64,
    /// Width times height: what may be decoded. A thread holds four bytes for each.
    pub max_pixels: u64,
    /// Shares of the image's area that one color may fill before it counts as blank.
    pub max_flat_share: f32,
    /// Parts of the page that hold no content.
    pub regions: Vec<Region>,
    /// Words in class names, ids and file names that betray decoration (OBELICS drops "logo", "button", "icon", "plugin", "widget").
    pub decoration_words: Vec<String>,
    /// Words in class names and ids that betray advertisements.
    pub advertisement_words: Vec<String>,
    /// Hosts that serve advertisements or count visits; subdomains too.
    pub advertisement_hosts: Vec<String>,
    /// Sizes of advertisements in pixels (the fixed sizes of IAB's display guidelines): dropped where the image links to another host.
    pub advertisement_sizes_px: Vec<(u32, u32)>,
}

/// Sizes of advertisements: the fixed ones of IAB's display guidelines.
const ADVERTISEMENT_SIZES_PX: [(u32, u32); 17] = [
    (728, 90),
    (970, 90),
    (970, 250),
    (468, 60),
    (300, 250),
    (336, 280),
    (160, 600),
    (120, 600),
    (300, 600),
    (320, 50),
    (320, 100),
    (250, 250),
    (200, 200),
    (234, 60),
    (88, 31),
    (120, 60),
    (120, 240),
];

impl Default for CleanConfig {
    fn default() -> Self {
        let words = |list: &str| list.split_whitespace().map(str::to_owned).collect();
        Self {
            min_side_px: 64,
            max_aspect: 3.0,
            min_bytes: 200,
            max_bytes: 32 << 20,
            max_pixels: 50_000_000,
            max_flat_share: 0.995,
            regions: vec![Region::Header, Region::Navigation, Region::Aside, Region::Footer],
            decoration_words: words(
                "logo logos icon icons button buttons plugin widget avatar gravatar sprite spacer emoji badge badges smiley favicon",
            ),
            advertisement_words: words(
                "ad ads advert advertisement advertising banner banners sponsor sponsored sponsors promo adsense doubleclick",
            ),
            advertisement_hosts: words(
                "doubleclick.net googlesyndication.com googleadservices.com google-analytics.com adnxs.com amazon-adsystem.com taboola.com \
                 outbrain.com criteo.com scorecardresearch.com quantserve.com adsrvr.org rubiconproject.com pubmatic.com",
            ),
            advertisement_sizes_px: ADVERTISEMENT_SIZES_PX.to_vec(),
        }
    }
}

impl CleanConfig {
    /// Limits of what is decoded.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            max_bytes: self.max_bytes,
            max_pixels: self.max_pixels,
            ..Limits::default()
        }
    }
}

/// An image and the address of its page.
pub type Candidate = (String, PageImage);

/// Decides by the page's markup.
#[derive(Debug)]
pub struct Markup<'a>(pub &'a CleanConfig);

impl Stage for Markup<'_> {
    const INFO: StageInfo = StageInfo::new("clean markup", "images on pages");
    type Item = Candidate;
    type Output = Candidate;

    fn process(&self, (page, image): Candidate) -> Result<Candidate, DropReason> {
        match self.reason(&page, &image) {
            Some(reason) => Err(DropReason(reason)),
            None => Ok((page, image)),
        }
    }
}

impl Markup<'_> {
    fn reason(&self, page: &str, image: &PageImage) -> Option<&'static str> {
        let config = self.0;
        let Ok(url) = Url::parse(&image.url) else {
            return Some("bad address");
        };
        if config.regions.contains(&image.region) {
            return Some("outside the content");
        }
        let marked = |words: &[String]| image.marks.iter().any(|mark| words.contains(mark));
        if self.is_advertiser(&url) || marked(&config.advertisement_words) {
            return Some("advertisement");
        }
        // A page's own words for an image outweigh the habits of class names: a figure with a caption is content.
        if image.caption.is_empty() && (marked(&config.decoration_words) || self.is_named_decoration(&url)) {
            return Some("decoration");
        }
        let (Some(width), Some(height)) = (image.width, image.height) else {
            return None;
        };
        // Stated sizes are those on the page: a thumbnail may stand for a large file.
        let thumbnail = !image.alternatives.is_empty();
        if !thumbnail && width.min(height) < config.min_side_px {
            return Some("small on the page");
        }
        let links_away = Url::parse(&image.link)
            .is_ok_and(|link| link.host_str() != Url::parse(page).ok().as_ref().and_then(Url::host_str));
        (links_away && config.advertisement_sizes_px.contains(&(width, height))).then_some("advertisement")
    }

    fn is_advertiser(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let serves = |suffix: &String| {
            let rest = host.strip_suffix(suffix.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        self.0.advertisement_hosts.iter().any(serves)
    }

    fn is_named_decoration(&self, url: &Url) -> bool {
        let name = url.path_segments().and_then(|mut path| path.next_back());
        let name = name.unwrap_or_default().to_lowercase();
        let mut words = name.split(|letter: char| !letter.is_alphanumeric());
        words.any(|word| self.0.decoration_words.iter().any(|known| known == word))
    }
}

/// A decoded image.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The page's address of it, not the one after redirects.
    pub url: String,
    /// Its file.
    pub bytes: Vec<u8>,
    /// The hash of the file.
    pub id: ImageId,
    /// Its pixels, perhaps reduced.
    pub pixels: RgbImage,
    /// Its width and height before it was reduced.
    pub shown: (u32, u32),
    /// For finding copies.
    pub print: Fingerprint,
}

/// Decides by the image itself.
#[derive(Debug)]
pub struct Pixels<'a>(pub &'a CleanConfig);

impl Stage for Pixels<'_> {
    const INFO: StageInfo = StageInfo::new("clean pixels", "images on pages");
    type Item = RawImage;
    type Output = Decoded;

    fn process(&self, image: RawImage) -> Result<Decoded, DropReason> {
        let config = self.0;
        let dropped = |reason| Err(DropReason(reason));
        if (image.bytes.len() as u64) < config.min_bytes {
            return dropped("tiny file");
        }
        let decoded = decode_rgb(&image.bytes, &config.limits());
        let pixels = decoded.map_err(|error| DropReason(decode_reason(&error)))?;
        let (short, long) = (pixels.width().min(pixels.height()), pixels.width().max(pixels.height()));
        if short < config.min_side_px {
            return dropped("low resolution");
        }
        if long as f32 > short as f32 * config.max_aspect {
            return dropped("extreme aspect");
        }
        let id = ImageId::of_bytes(&image.bytes);
        let print = Fingerprint::of(id, &pixels);
        if flat_share(&pixels) > config.max_flat_share {
            return dropped("blank");
        }
        Ok(Decoded {
            url: image.url,
            bytes: image.bytes,
            id,
            shown: pixels.dimensions(),
            pixels,
            print,
        })
    }
}

/// Width and height of an image within a square of `side`; none of one that fits as it is.
pub(crate) fn size_within(image: &RgbImage, side: u32) -> Option<(u32, u32)> {
    let (width, height) = image.dimensions();
    let long = width.max(height);
    let scaled = |length: u32| (u64::from(length) * u64::from(side) / u64::from(long)).max(1) as u32;
    (side < long).then(|| (scaled(width), scaled(height)))
}

fn decode_reason(error: &DecodeError) -> &'static str {
    match error {
        DecodeError::Empty => "empty file",
        DecodeError::TooManyBytes { .. } => "too many bytes",
        DecodeError::TooManyPixels { .. } => "too many pixels",
        DecodeError::UnknownFormat => "not an image we read",
        DecodeError::Unsupported(_) => "unsupported format",
        DecodeError::Truncated => "cut off",
        DecodeError::Corrupt(_) => "damaged",
        DecodeError::NotAFile | DecodeError::Io(_) => "unreadable",
    }
}

/// The share of pixels that have the color of the middle or a corner, within noise.
fn flat_share(pixels: &RgbImage) -> f32 {
    let (width, height) = pixels.dimensions();
    let candidates = [(width / 2, height / 2), (0, 0), (width - 1, height - 1)];
    // Every few pixels are enough to tell, and large images should not cost more than small ones.
    let step = (pixels.as_raw().len() / 3 / 20_000).max(1);
    let sampled: Vec<&[u8]> = pixels.as_raw().chunks_exact(3).step_by(step).collect();
    let like = |(x, y): (u32, u32)| {
        let color = pixels.get_pixel(x, y).0;
        let near = |pixel: &&&[u8]| pixel.iter().zip(color).all(|(&a, b)| a.abs_diff(b) <= 3);
        sampled.iter().filter(near).count() as f32 / sampled.len() as f32
    };
    candidates.into_iter().map(like).fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, Rgb};

    use super::*;

    fn markup(edit: impl FnOnce(&mut PageImage)) -> Option<&'static str> {
        let mut image = PageImage {
            url: "https://example.org/photos/cat.jpg".into(),
            ..PageImage::default()
        };
        edit(&mut image);
        Markup(&CleanConfig::default()).reason("https://example.org/page", &image)
    }

    #[test]
    fn markup_betrays_what_is_no_content() {
        assert_eq!(markup(|_| ()), None);
        assert_eq!(markup(|p| p.url = "cat.jpg".into()), Some("bad address"));
        assert_eq!(markup(|p| p.region = Region::Footer), Some("outside the content"));
        assert_eq!(
            markup(|p| p.url = "https://x.doubleclick.net/a.gif".into()),
            Some("advertisement")
        );
        assert_eq!(markup(|p| p.url = "https://notdoubleclick.net/a.gif".into()), None);
        assert_eq!(markup(|p| p.marks = vec!["sponsored".into()]), Some("advertisement"));
        assert_eq!(
            markup(|p| p.url = "https://example.org/site-logo.png".into()),
            Some("decoration")
        );
        assert_eq!(markup(|p| p.url = "https://example.org/logout-screen.png".into()), None);
        assert_eq!(
            markup(|p| {
                p.url = "https://example.org/icon.png".into();
                p.caption = "The new icon".into();
            }),
            None
        );
    }

    #[test]
    fn stated_sizes_count_unless_a_larger_file_stands_behind() {
        let sized = |width, height| {
            move |p: &mut PageImage| {
                (p.width, p.height) = (Some(width), Some(height));
            }
        };
        assert_eq!(markup(sized(32, 32)), Some("small on the page"));
        assert_eq!(markup(sized(64, 64)), None);
        assert_eq!(
            markup(|p| {
                sized(32, 32)(p);
                p.alternatives = vec!["https://example.org/thumb.jpg".into()];
            }),
            None
        );
        let banner = |link: &'static str| {
            move |p: &mut PageImage| {
                sized(728, 90)(p);
                p.link = link.into();
            }
        };
        assert_eq!(markup(banner("https://shop.example.com/")), Some("advertisement"));
        assert_eq!(markup(banner("https://example.org/more")), None);
    }

    fn pixels(image: &RgbImage) -> Result<Decoded, &'static str> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Png).unwrap();
        decode(bytes.into_inner())
    }

    fn decode(bytes: Vec<u8>) -> Result<Decoded, &'static str> {
        let raw = RawImage {
            bytes,
            ..RawImage::default()
        };
        Pixels(&CleanConfig::default()).process(raw).map_err(|reason| reason.0)
    }

    fn checks(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([(x * 7) as u8, (y * 5) as u8, (x * y) as u8]))
    }

    #[test]
    fn pixels_betray_the_rest() {
        assert_eq!(pixels(&checks(100, 80)).unwrap().pixels.dimensions(), (100, 80));
        assert_eq!(pixels(&checks(63, 80)).unwrap_err(), "low resolution");
        assert!(pixels(&checks(64, 192)).is_ok());
        assert_eq!(pixels(&checks(64, 193)).unwrap_err(), "extreme aspect");
        assert_eq!(
            pixels(&RgbImage::from_pixel(300, 300, Rgb([9; 3]))).unwrap_err(),
            "blank"
        );
        assert_eq!(decode(vec![0; 10]).unwrap_err(), "tiny file");
        assert_eq!(decode(vec![0; 1000]).unwrap_err(), "not an image we read");
        let mut cut = std::io::Cursor::new(Vec::new());
        checks(100, 80).write_to(&mut cut, ImageFormat::Jpeg).unwrap();
        let cut = cut.into_inner();
        assert_eq!(decode(cut[..cut.len() / 2].to_vec()).unwrap_err(), "cut off");
    }
}
