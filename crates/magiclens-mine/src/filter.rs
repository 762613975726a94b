//! Filters of pages: scores with a threshold, pluggable by the run's configuration.
//!
//! Built in are the language of the page's words and a list of words; a score that another program computed (a safety
//! classifier, a quality model) comes as a Parquet table of addresses and numbers.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::{Deserialize, Serialize};

use crate::clean::Candidate;
use crate::stage::{Stage, StageInfo};
use magiclens_web::DropReason;
use magiclens_web::page::Page;

/// One filter of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum FilterConfig {
    /// Keeps pages in these languages.
    Language {
        /// ISO 639-1 codes, e.g. "en".
        keep: Vec<String>,
        /// Confidence (0 to 1) that the detector needs to contradict the page; a short text is not judged.
        min_confidence: f64,
        /// Characters of text below which the page's own statement counts alone.
        min_chars: usize,
    },
    /// Drops pages whose words, with the words of their images, hold too many of a list.
    Words {
        /// The list, in lower case; a file of one word a line is read by `file`.
        words: Vec<String>,
        /// A file with more of them.
        #[serde(default)]
        file: Option<PathBuf>,
        /// Listed words of a hundred words.
        max_percent: f64,
        /// Listed words that a page may always hold: one alone proves little.
        allow: usize,
    },
    /// Drops pages or images by a score from elsewhere.
    Table {
        /// Meaning of the score, e.g. "unsafe": the reason that is counted.
        name: String,
        /// Kind of item that the addresses name.
        of: Scored,
        /// Parquet with the columns `url` and `score`.
        file: PathBuf,
        /// Lowest score that is kept.
        #[serde(default)]
        min: Option<f64>,
        /// Highest score that is kept.
        #[serde(default)]
        max: Option<f64>,
        /// Whether what has no score is kept.
        keep_unknown: bool,
    },
}

impl FilterConfig {
    /// Whether it decides about single images.
    pub fn is_of_images(&self) -> bool {
        matches!(self, Self::Table { of: Scored::Images, .. })
    }
}

/// Kind of item that a table scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scored {
    /// Addresses of pages.
    Pages,
    /// Addresses of images.
    #[serde(rename = "pictures")]
    Images,
}

/// The filters of a run, ready to use.
#[derive(Debug)]
pub struct Filters(Vec<Filter>);

/// A filter with the lists and scores that it looks up.
#[derive(Debug)]
struct Filter {
    config: FilterConfig,
    reason: DropReason,
    words: HashSet<String>,
    scores: HashMap<String, f64>,
}

impl Filters {
    /// Reads the files that the filters need.
    ///
    /// # Errors
    /// A missing or unreadable file.
    pub fn new(configs: &[FilterConfig]) -> anyhow::Result<Self> {
        configs.iter().map(Filter::new).collect::<anyhow::Result<_>>().map(Self)
    }

    /// Whether any of them decides about single images.
    pub fn look_at_images(&self) -> bool {
        self.0.iter().any(|filter| filter.config.is_of_images())
    }

    /// The reason of the first filter that drops an item.
    fn decide<T>(&self, item: T, drops: impl Fn(&Filter, &T) -> bool) -> Result<T, DropReason> {
        match self.0.iter().find(|filter| drops(filter, &item)) {
            Some(filter) => Err(filter.reason),
            None => Ok(item),
        }
    }
}

impl Stage for Filters {
    const INFO: StageInfo = StageInfo::new("filter", "pages");
    type Item = Page;
    type Output = Page;

    fn process(&self, page: Page) -> Result<Page, DropReason> {
        self.decide(page, Filter::drops_page)
    }
}

/// The filters that decide about single images.
#[derive(Debug)]
pub struct ImageFilters<'a>(pub &'a Filters);

impl Stage for ImageFilters<'_> {
    const INFO: StageInfo = StageInfo::new("filter images", "images on pages");
    type Item = Candidate;
    type Output = Candidate;

    fn process(&self, candidate: Candidate) -> Result<Candidate, DropReason> {
        let drops = |filter: &Filter, (_, image): &Candidate| filter.drops_address(Scored::Images, &image.url);
        self.0.decide(candidate, drops)
    }
}

impl Filter {
    fn new(config: &FilterConfig) -> anyhow::Result<Self> {
        let mut filter = Self {
            config: config.clone(),
            reason: DropReason("other language"),
            words: HashSet::new(),
            scores: HashMap::new(),
        };
        match config {
            FilterConfig::Language { .. } => {}
            FilterConfig::Words { words, file, .. } => {
                filter.reason = DropReason("listed words");
                filter.words = words.iter().map(|word| word.to_lowercase()).collect();
                if let Some(file) = file {
                    let text = fs_err::read_to_string(file)?;
                    let lines = text.lines().map(|line| line.trim().to_lowercase());
                    filter.words.extend(lines);
                }
            }
            FilterConfig::Table { name, file, .. } => {
                filter.reason = DropReason(intern(name));
                filter.scores = read_scores(file)?;
            }
        }
        Ok(filter)
    }

    fn drops_page(&self, page: &Page) -> bool {
        match &self.config {
            FilterConfig::Language {
                keep,
                min_confidence,
                min_chars,
            } => is_other_language(page, keep, *min_confidence, *min_chars),
            FilterConfig::Words { max_percent, allow, .. } => has_listed_words(page, &self.words, *max_percent, *allow),
            FilterConfig::Table { .. } => self.drops_address(Scored::Pages, &page.url),
        }
    }

    fn drops_address(&self, kind: Scored, url: &str) -> bool {
        let FilterConfig::Table {
            of,
            min,
            max,
            keep_unknown,
            ..
        } = &self.config
        else {
            return false;
        };
        let kept = min.unwrap_or(f64::NEG_INFINITY)..=max.unwrap_or(f64::INFINITY);
        let is_kept = self.scores.get(url).map_or(*keep_unknown, |score| kept.contains(score));
        *of == kind && !is_kept
    }
}

/// The page's statement counts unless its words clearly contradict: many pages state a language they are not in.
fn is_other_language(page: &Page, keep: &[String], min_confidence: f64, min_chars: usize) -> bool {
    let stated = page.language.split(['-', '_']).next().unwrap_or_default();
    let stated = stated.to_lowercase();
    let is_long = page.text.chars().count() >= min_chars;
    let found = is_long.then(|| whatlang::detect(&page.text)).flatten();
    let found = found.filter(|found| found.confidence() >= min_confidence);
    match found {
        Some(found) => !keep.iter().any(|code| three_letters(code) == found.lang().code()),
        None => !stated.is_empty() && !keep.contains(&stated),
    }
}

/// The detector's code of a language. It tells some languages from the group that ISO 639-1 has one code for.
fn three_letters(code: &str) -> &str {
    match code {
        "fa" => "pes",
        "no" => "nob",
        "zh" => "cmn",
        _ => isolang::Language::from_639_1(code).map_or(code, |language| language.to_639_3()),
    }
}

fn has_listed_words(page: &Page, listed: &HashSet<String>, max_percent: f64, allow: usize) -> bool {
    let images = page.images.iter();
    let of_images = images.flat_map(|image| [&image.alt, &image.caption, &image.title, &image.url]);
    let of_page = [&page.url, &page.title, &page.heading, &page.text];
    let texts = of_page.into_iter().chain(of_images);
    let words = texts.flat_map(|text| text.split(|letter: char| !letter.is_alphanumeric()));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let is_listed = |word: &&&str| listed.contains(&word.to_lowercase());
    let found = words.iter().filter(is_listed).count();
    allow < found && max_percent < 100.0 * found as f64 / words.len() as f64
}

/// Names of filters are counted like the stages' own reasons, which live as long as the program; there are a handful.
fn intern(name: &str) -> &'static str {
    Box::leak(name.to_owned().into_boxed_str())
}

fn read_scores(path: &Path) -> anyhow::Result<HashMap<String, f64>> {
    let file: std::fs::File = fs_err::File::open(path)?.into_parts().0;
    let of_file = || format!("`{}` is no table of scores", path.display());
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .with_context(of_file)?;
    let mut scores = HashMap::new();
    for batch in reader {
        add_scores(&batch.with_context(of_file)?, &mut scores).with_context(of_file)?;
    }
    Ok(scores)
}

fn add_scores(batch: &RecordBatch, scores: &mut HashMap<String, f64>) -> anyhow::Result<()> {
    let column = |name: &str| {
        batch.column_by_name(name).ok_or_else(|| {
            anyhow!("column `{name}` is missing\nhint: the columns `url` (text) and `score` (float) are read")
        })
    };
    let (urls, values) = (column("url")?, column("score")?);
    let Some(urls) = urls.as_string_opt::<i32>() else {
        bail!("column `url` holds {}, but text is needed", urls.data_type());
    };
    let value = |row: usize| match values.data_type() {
        DataType::Float32 => Ok(f64::from(values.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => Ok(values.as_primitive::<Float64Type>().value(row)),
        other => Err(anyhow!(
            "column `score` holds {other}, but floating-point numbers are needed"
        )),
    };
    for row in 0..batch.num_rows() {
        if !urls.is_null(row) && !values.is_null(row) {
            scores.insert(urls.value(row).to_owned(), value(row)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Float64Array, StringArray};
    use parquet::arrow::ArrowWriter;

    use super::*;
    use magiclens_web::page::PageImage;

    const ENGLISH: &str =
        "The quick brown fox jumps over the lazy dog while the children are playing in the garden behind the house.";
    const GERMAN: &str =
        "Der schnelle braune Fuchs springt über den faulen Hund, während die Kinder im Garten hinter dem Haus spielen.";

    fn page(language: &str, text: &str) -> Page {
        Page {
            language: language.into(),
            text: text.into(),
            ..Page::default()
        }
    }

    fn reason(config: FilterConfig, page: Page) -> Option<&'static str> {
        let decision = Filters::new(&[config]).unwrap().process(page);
        decision.err().map(|reason| reason.0)
    }

    #[test]
    fn words_outweigh_the_stated_language_and_short_texts_do_not() {
        let english = || FilterConfig::Language {
            keep: vec!["en".into()],
            min_confidence: 0.8,
            min_chars: 40,
        };
        assert_eq!(reason(english(), page("", ENGLISH)), None);
        assert_eq!(reason(english(), page("de", ENGLISH)), None);
        assert_eq!(reason(english(), page("en-GB", GERMAN)), Some("other language"));
        assert_eq!(reason(english(), page("en-GB", "Hallo")), None);
        assert_eq!(reason(english(), page("de", "Hallo")), Some("other language"));
        assert_eq!(reason(english(), page("", "Hallo")), None);
    }

    #[test]
    fn languages_have_the_codes_of_the_detector() {
        for (code, expected) in [
            ("en", "eng"),
            ("de", "deu"),
            ("fa", "pes"),
            ("zh", "cmn"),
            ("nb", "nob"),
            ("xx", "xx"),
        ] {
            assert_eq!(three_letters(code), expected);
        }
        let lacks = |lang: &whatlang::Lang| isolang::Language::from_639_3(lang.code()).is_none();
        assert_eq!(whatlang::Lang::all().iter().filter(|lang| lacks(lang)).count(), 0);
    }

    #[test]
    fn listed_words_count_by_share() {
        let words = |allow, max_percent| FilterConfig::Words {
            words: vec!["Casino".into()],
            file: None,
            max_percent,
            allow,
        };
        let text = "casino casino and eight other words that mean nothing";
        assert_eq!(reason(words(0, 10.0), page("", text)), Some("listed words"));
        assert_eq!(reason(words(2, 10.0), page("", text)), None);
        assert_eq!(reason(words(0, 50.0), page("", text)), None);
    }

    #[test]
    fn scores_of_pages_and_images_come_from_a_table() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("scores.parquet");
        let batch = RecordBatch::try_from_iter([
            (
                "url",
                Arc::new(StringArray::from(vec!["p", "a", "b"])) as arrow_array::ArrayRef,
            ),
            ("score", Arc::new(Float64Array::from(vec![0.1, 0.2, 0.9]))),
        ])
        .unwrap();
        let mut writer = ArrowWriter::try_new(std::fs::File::create(&file).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let below = |of, max, keep_unknown| FilterConfig::Table {
            name: "unsafe".into(),
            of,
            file: file.clone(),
            min: None,
            max: Some(max),
            keep_unknown,
        };
        let page = |url: &str| Page {
            url: url.into(),
            ..Page::default()
        };
        assert_eq!(reason(below(Scored::Pages, 0.05, true), page("p")), Some("unsafe"));
        assert_eq!(reason(below(Scored::Pages, 0.5, true), page("p")), None);
        assert_eq!(
            reason(below(Scored::Pages, 0.5, false), page("unknown")),
            Some("unsafe")
        );
        assert_eq!(reason(below(Scored::Images, 0.05, false), page("p")), None);
        let keeps = |url: &str, keep_unknown| {
            let filters = Filters::new(&[below(Scored::Images, 0.5, keep_unknown)]).unwrap();
            assert!(filters.look_at_images());
            let image = PageImage {
                url: url.into(),
                ..PageImage::default()
            };
            ImageFilters(&filters).process(("p".into(), image)).is_ok()
        };
        assert!(keeps("a", false) && !keeps("b", true) && keeps("c", true) && !keeps("c", false));
    }
}
