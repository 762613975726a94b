//! Both systems' rankings, computed once. What is done is kept in `rankings.jsonl`, so that a stopped run goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use magiclens_data::ImageId;
use magiclens_data::decode::Limits;
use magiclens_index::{Index, make_thumbnail};
use magiclens_search::{Encoder, ImageInput, QueryImage as ReadImage, QueryVector, SearchQuery, embed_queries};
use serde::{Deserialize, Serialize};

use crate::error::CompareError;
use crate::judgment::Side;
use crate::queries::{Query, QueryFile, QueryImage};
use crate::random::Random;
use crate::study::{Item, Kind, Settings, Study, image_path, lock};

const RANKINGS_FILE: &str = "rankings.jsonl";

/// Queries that go through the model together.
const BATCH: usize = 8;

/// What a query vector is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// The query image fused with the instruction.
    #[default]
    #[serde(rename = "image+text")]
    ImageText,
    /// The query image alone.
    #[serde(rename = "image")]
    Image,
    /// The instruction alone, among the image tower's vectors.
    #[serde(rename = "text")]
    Text,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ImageText, Self::Image, Self::Text];

    /// As written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::ImageText => "image+text",
            Self::Image => "image",
            Self::Text => "text",
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Ranked {
    side: Side,
    query: String,
    ranking: Vec<ImageId>,
}

/// A study in the making.
#[derive(Debug)]
pub struct Draft {
    dir: PathBuf,
    settings: Settings,
    rankings: BTreeMap<(Side, String), Vec<ImageId>>,
    file: fs_err::File,
    _lock: fs_err::File,
}

impl Draft {
    /// Begins a study in `dir`, or goes on with one of the same settings.
    ///
    /// # Errors
    /// [`CompareError::OtherStudy`], [`CompareError::Busy`], or a folder that cannot be written.
    pub fn open(dir: &Path, settings: Settings) -> Result<Self, CompareError> {
        let lock = lock(dir)?;
        let path = dir.join(RANKINGS_FILE);
        let mut rankings = BTreeMap::new();
        let text = match fs_err::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error.into()),
        };
        // A last line without its end was being written when the run was stopped.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut lines = text[..whole].lines();
        let head = lines.next().map(serde_json::from_str::<Settings>);
        let damaged = |line: usize, error: serde_json::Error| CompareError::Damaged {
            path: path.clone(),
            problem: format!("line {line}: {error}"),
        };
        let is_new = head.is_none();
        if let Some(head) = head {
            head.map_err(|error| damaged(1, error))?.check(&settings, dir)?;
        }
        for (number, line) in (2..).zip(lines) {
            let Ranked { side, query, ranking } = serde_json::from_str(line).map_err(|error| damaged(number, error))?;
            rankings.insert((side, query), ranking);
        }
        let mut file = fs_err::OpenOptions::new().create(true).append(true).open(&path)?;
        file.set_len(whole as u64)?;
        if is_new {
            write_line(&mut file, &settings)?;
        }
        Ok(Self {
            dir: dir.to_owned(),
            settings,
            rankings,
            file,
            _lock: lock,
        })
    }

    /// How many queries `side` still has to rank.
    pub fn missing(&self, side: Side, queries: &QueryFile) -> usize {
        self.pending(side, queries).len()
    }

    /// Ranks what `side` has not ranked yet; `done` hears of each batch how many queries it had. The query image itself
    /// is left out of its ranking, as in every search.
    ///
    /// # Errors
    /// A query image that cannot be read any more, a model that fails, an index that cannot be searched.
    pub fn rank(
        &mut self,
        side: Side,
        index: &Index,
        model: &impl Encoder,
        queries: &QueryFile,
        mut done: impl FnMut(usize),
    ) -> Result<(), CompareError> {
        let method = match side {
            Side::A => self.settings.a.method,
            Side::B => self.settings.b.method,
        };
        for batch in self.pending(side, queries).chunks(BATCH) {
            for (query, vector) in batch.iter().zip(embed(model, method, batch)?) {
                let hits = vector.search(index, self.settings.k, &[query.image.id], None)?;
                let ranking: Vec<ImageId> = hits.into_iter().map(|hit| hit.image.id).collect();
                let query = query.id.clone();
                let ranked = Ranked { side, query, ranking };
                write_line(&mut self.file, &ranked)?;
                self.rankings.insert((side, ranked.query), ranked.ranking);
            }
            done(batch.len());
        }
        Ok(())
    }

    /// Makes the study: items, checks and images. All queries must be ranked for both sides.
    ///
    /// # Errors
    /// An image that is gone, or a folder that cannot be written.
    pub fn finish(
        mut self,
        queries: &QueryFile,
        indexes: [&Index; 2],
        names: [String; 2],
    ) -> Result<Study, CompareError> {
        let mut items = Vec::with_capacity(queries.queries.len());
        for query in &queries.queries {
            items.push(Item {
                id: query.id.clone(),
                kind: Kind::Query { intent: query.intent },
                image: query.image.id,
                instruction: query.instruction.clone(),
                a: self.take(Side::A, query),
                b: self.take(Side::B, query),
            });
        }
        let galleries = [indexes[0].ids()?, indexes[1].ids()?];
        let checks = self.given_checks(queries, &items, &galleries[0]);
        let automatic = self.automatic_checks(&items, &galleries);
        items.extend(checks.into_iter().chain(automatic));
        self.keep_images(&items, queries, indexes)?;
        let study = Study::new(self.settings, names, items);
        study.write(&self.dir)?;
        fs_err::remove_file(self.dir.join(RANKINGS_FILE))?;
        Ok(study)
    }

    fn pending<'a>(&self, side: Side, queries: &'a QueryFile) -> Vec<&'a Query> {
        let is_missing = |query: &&Query| !self.rankings.contains_key(&(side, query.id.clone()));
        queries.queries.iter().filter(is_missing).collect()
    }

    fn take(&mut self, side: Side, query: &Query) -> Vec<ImageId> {
        self.rankings.remove(&(side, query.id.clone())).unwrap_or_default()
    }

    /// The checks of the query file, with as many images as a ranking has, so that they look like one: random images
    /// stand at the end of both sides.
    fn given_checks(&self, queries: &QueryFile, items: &[Item], gallery: &[ImageId]) -> Vec<Item> {
        let length = items.iter().map(|item| item.a.len()).max().unwrap_or(0);
        let mut random = self.random("padding");
        let mut given = Vec::new();
        for check in &queries.checks {
            let ids = |images: &[QueryImage]| images.iter().map(|image| image.id).collect::<Vec<_>>();
            let (mut a, mut b) = (ids(&check.good), ids(&check.bad));
            let named: BTreeSet<&ImageId> = a.iter().chain(&b).chain([&check.image.id]).collect();
            let mut others: Vec<ImageId> = gallery.iter().filter(|id| !named.contains(id)).copied().collect();
            random.shuffle(&mut others);
            for side in [&mut a, &mut b] {
                let lacks = length.saturating_sub(side.len()).min(others.len());
                side.extend(others.split_off(others.len() - lacks));
                side.truncate(length);
            }
            given.push(Item {
                id: check.id.clone(),
                kind: Kind::Check { real: None },
                image: check.image.id,
                instruction: check.instruction.clone(),
                a,
                b,
            });
        }
        given
    }

    /// Checks made of the study's own queries: a ranking of A or B, by turns, against random images of the gallery.
    fn automatic_checks(&self, items: &[Item], galleries: &[Vec<ImageId>; 2]) -> Vec<Item> {
        let mut random = self.random("checks");
        let mut order: Vec<&Item> = items.iter().collect();
        random.shuffle(&mut order);
        let first = random.below(2);
        let mut checks = Vec::new();
        for (number, item) in order.into_iter().take(self.settings.automatic_checks).enumerate() {
            let place = (first + number) % 2;
            let side = [Side::A, Side::B][place];
            let real = item.ranking(side).to_vec();
            let is_other = |id: &&ImageId| !real.contains(id) && **id != item.image;
            let mut wrong: Vec<ImageId> = galleries[place].iter().filter(is_other).copied().collect();
            random.shuffle(&mut wrong);
            // A gallery so small that the ranking leaves too little of it: the ranking's worst images fill up.
            wrong.extend(real.iter().rev());
            wrong.truncate(real.len());
            checks.push(Item {
                id: format!("{} {}", Self::AUTOMATIC, number + 1),
                kind: Kind::Check { real: Some(side) },
                a: real,
                b: wrong,
                ..item.clone()
            });
        }
        checks
    }

    /// How the ids of automatic checks begin.
    pub(crate) const AUTOMATIC: &'static str = "automatic check";

    fn random(&self, purpose: &str) -> Random {
        Random::new(&[purpose, &self.settings.seed.to_string()])
    }

    /// Copies the small versions of all images that raters will see into the study.
    fn keep_images(&self, items: &[Item], queries: &QueryFile, indexes: [&Index; 2]) -> Result<(), CompareError> {
        let mut files: BTreeMap<ImageId, &Path> = BTreeMap::new();
        let of_queries = queries.queries.iter().map(|query| &query.image);
        let of_checks = queries.checks.iter();
        let of_checks = of_checks.flat_map(|check| [&check.image].into_iter().chain(&check.good).chain(&check.bad));
        files.extend(of_queries.chain(of_checks).map(|image| (image.id, &*image.path)));
        let shown: BTreeSet<ImageId> = items
            .iter()
            .flat_map(|item| item.a.iter().chain(&item.b).chain([&item.image]).copied())
            .collect();
        for id in shown {
            let jpeg = match files.get(&id) {
                Some(path) => {
                    let image = read(path)?;
                    let thumbnail = make_thumbnail(&image.bytes, &Limits::default());
                    let bad = |cause| CompareError::BadImage {
                        path: (*path).to_owned(),
                        cause,
                    };
                    thumbnail.map_err(bad)?.jpeg
                }
                None => {
                    let found = match indexes[0].thumbnail_path(id)? {
                        Some(path) => Some(path),
                        None => indexes[1].thumbnail_path(id)?,
                    };
                    fs_err::read(found.ok_or(CompareError::ImageGone { id })?)?
                }
            };
            let path = image_path(&self.dir, id);
            if let Some(folder) = path.parent() {
                fs_err::create_dir_all(folder)?;
            }
            fs_err::write(path, jpeg)?;
        }
        Ok(())
    }
}

/// One query vector for each query.
fn embed(model: &impl Encoder, method: Method, batch: &[&Query]) -> Result<Vec<QueryVector>, CompareError> {
    let images = match method {
        Method::Text => Vec::new(),
        Method::ImageText | Method::Image => batch
            .iter()
            .map(|query| read(&query.image.path))
            .collect::<Result<_, _>>()?,
    };
    let mut queries = Vec::with_capacity(batch.len());
    for (place, query) in batch.iter().enumerate() {
        let instruction = if method == Method::Image {
            ""
        } else {
            &*query.instruction
        };
        queries.push(match method {
            Method::Text => SearchQuery::Text(instruction),
            Method::ImageText | Method::Image => SearchQuery::Image {
                image: ImageInput::Pixels(&images[place].rgb),
                instruction,
            },
        });
    }
    embed_queries(model, &queries).map_err(|cause| {
        let ids: Vec<&str> = batch.iter().map(|query| &*query.id).collect();
        let queries = ids.join("`, `");
        CompareError::Model { queries, cause }
    })
}

fn read(path: &Path) -> Result<ReadImage, CompareError> {
    ReadImage::read(path, &Limits::default()).map_err(|cause| CompareError::BadImage {
        path: path.to_owned(),
        cause,
    })
}

/// Writes a line at once: whole, or cut off at the end of the file.
fn write_line(file: &mut fs_err::File, value: &impl Serialize) -> Result<(), CompareError> {
    let mut line = serde_json::to_vec(value).map_err(std::io::Error::from)?;
    line.push(b'\n');
    Ok(file.write_all(&line)?)
}
