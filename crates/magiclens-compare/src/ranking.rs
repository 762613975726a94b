//! Both systems' rankings, computed once. Finished ones are kept in `rankings.jsonl`, so that a stopped run goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use magiclens_data::ImageId;
use magiclens_data::decode::{DecodeError, Limits};
use magiclens_data::files::write_atomic_bytes;
use magiclens_index::{Index, Selection, make_thumbnail};
use magiclens_search::{EmbeddedQuery, Encoder, ImageInput, QueryImage, SearchError, SearchQuery, embed_queries};
use serde::{Deserialize, Serialize};

use crate::checks::{automatic_checks, given_checks};
use crate::error::CompareError;
use crate::judgment::Side;
use crate::queries::{QueryFile, StudyQuery};
use crate::study::{Item, Kind, Method, Settings, Study, image_path, json_line, lock, read_if_present, whole_lines};

const RANKINGS_FILE: &str = "rankings.jsonl";

/// Queries that go through the model together.
const BATCH: usize = 8;

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
    rankings: Rankings,
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
        let bytes = read_if_present(&path)?.unwrap_or_default();
        let whole = whole_lines(&bytes);
        let (head, rankings) = read_lines(&path, whole)?;
        if let Some(head) = &head {
            head.check(&settings, dir)?;
        }
        let mut file = fs_err::OpenOptions::new().create(true).append(true).open(&path)?;
        file.set_len(whole.len() as u64)?;
        if head.is_none() {
            file.write_all(&json_line(&settings)?)?;
        }
        let dir = dir.to_owned();
        Ok(Self {
            dir,
            settings,
            rankings,
            file,
            _lock: lock,
        })
    }

    /// The number of queries that `side` still has to rank.
    pub fn missing(&self, side: Side, queries: &QueryFile) -> usize {
        self.pending(side, queries).len()
    }

    /// Ranks the queries that `side` has not ranked yet; `done` gets the number of queries of each batch. The query image
    /// itself is not in its ranking, as in every search.
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
        let method = self.settings.system(side).method;
        for batch in self.pending(side, queries).chunks(BATCH) {
            for (query, embedded) in batch.iter().zip(embed(model, method, batch)?) {
                let exclude = [query.image.id];
                let selection = Selection::first(self.settings.k).without(&exclude);
                let hits = embedded
                    .search(index, &selection)
                    .map_err(|cause| failed(&[query], cause))?;
                let ranking = hits.into_iter().map(|hit| hit.image.id).collect();
                let query = query.id.clone();
                let ranked = Ranked { side, query, ranking };
                self.file.write_all(&json_line(&ranked)?)?;
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
        let mut items: Vec<Item> = queries.queries.iter().map(|query| self.item(query)).collect();
        let galleries = [indexes[0].ids()?, indexes[1].ids()?];
        let checks = given_checks(&self.settings, queries, &items, &galleries[0]);
        let automatic = automatic_checks(&self.settings, &items, &galleries);
        items.extend(checks.into_iter().chain(automatic));
        keep_images(&self.dir, &items, queries, indexes)?;
        let study = Study::new(self.settings, names, items);
        study.write(&self.dir)?;
        fs_err::remove_file(self.dir.join(RANKINGS_FILE))?;
        Ok(study)
    }

    fn pending<'a>(&self, side: Side, queries: &'a QueryFile) -> Vec<&'a StudyQuery> {
        let is_missing = |query: &&StudyQuery| !self.rankings.contains_key(&(side, query.id.clone()));
        queries.queries.iter().filter(is_missing).collect()
    }

    fn item(&mut self, query: &StudyQuery) -> Item {
        let [a, b] = [Side::A, Side::B].map(|side| self.rankings.remove(&(side, query.id.clone())).unwrap_or_default());
        Item {
            id: query.id.clone(),
            kind: Kind::Query { intent: query.intent },
            image: query.image.id,
            instruction: query.instruction.clone(),
            a,
            b,
        }
    }
}

type Rankings = BTreeMap<(Side, String), Vec<ImageId>>;

/// The settings in the first line, and the rankings in the others.
fn read_lines(path: &Path, bytes: &[u8]) -> Result<(Option<Settings>, Rankings), CompareError> {
    let damaged = |line: usize, error: serde_json::Error| CompareError::Damaged {
        path: path.to_owned(),
        problem: format!("line {line}: {error}"),
    };
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n');
    let head = lines.next().map(serde_json::from_slice).transpose();
    let mut rankings = Rankings::new();
    for (number, line) in (2..).zip(lines) {
        let Ranked { side, query, ranking } = serde_json::from_slice(line).map_err(|error| damaged(number, error))?;
        rankings.insert((side, query), ranking);
    }
    Ok((head.map_err(|error| damaged(1, error))?, rankings))
}

/// Copies the small versions of all images that raters will see into the study. Those that are there are whole.
fn keep_images(dir: &Path, items: &[Item], queries: &QueryFile, indexes: [&Index; 2]) -> Result<(), CompareError> {
    let files: BTreeMap<ImageId, &Path> = queries.images().map(|image| (image.id, &*image.path)).collect();
    let images = items
        .iter()
        .flat_map(|item| item.a.iter().chain(&item.b).chain([&item.image]).copied());
    for id in images.collect::<BTreeSet<ImageId>>() {
        let path = image_path(dir, id);
        if path.exists() {
            continue;
        }
        let jpeg = match files.get(&id) {
            Some(file) => {
                let image = read(file)?;
                let thumbnail = make_thumbnail(&image.bytes, &Limits::default());
                thumbnail.map_err(|cause| bad_image(file, cause))?.jpeg
            }
            None => thumbnail(id, indexes)?,
        };
        fs_err::create_dir_all(path.parent().unwrap_or(dir))?;
        write_atomic_bytes(path, jpeg)?;
    }
    Ok(())
}

/// The small version that one of the indexes has.
fn thumbnail(id: ImageId, indexes: [&Index; 2]) -> Result<Vec<u8>, CompareError> {
    for index in indexes {
        if let Some(path) = index.thumbnail_path(id)?
            && let Some(jpeg) = read_if_present(&path)?
        {
            return Ok(jpeg);
        }
    }
    Err(CompareError::ImageGone { id })
}

/// The queries, embedded.
fn embed(model: &impl Encoder, method: Method, batch: &[&StudyQuery]) -> Result<Vec<EmbeddedQuery>, CompareError> {
    let images: Vec<QueryImage> = match method {
        Method::Text => Vec::new(),
        Method::ImageText | Method::Image => {
            let images = batch.iter().map(|query| read(&query.image.path));
            images.collect::<Result<_, _>>()?
        }
    };
    let queries = batch.iter().enumerate().map(|(place, query)| match method {
        Method::Text => SearchQuery::Text(&query.instruction),
        Method::ImageText | Method::Image => SearchQuery::Image {
            image: ImageInput::Pixels(&images[place].rgb),
            second: None,
            instruction: if method == Method::Image {
                ""
            } else {
                &query.instruction
            },
        },
    });
    let queries: Vec<SearchQuery<'_>> = queries.collect();
    embed_queries(model, &queries).map_err(|cause| failed(batch, cause))
}

fn failed(queries: &[&StudyQuery], cause: SearchError) -> CompareError {
    let ids: Vec<&str> = queries.iter().map(|query| &*query.id).collect();
    let queries = ids.join("`, `");
    CompareError::Model { queries, cause }
}

fn read(path: &Path) -> Result<QueryImage, CompareError> {
    QueryImage::read(path, &Limits::default()).map_err(|cause| bad_image(path, cause))
}

fn bad_image(path: &Path, cause: DecodeError) -> CompareError {
    let path = path.to_owned();
    CompareError::BadImage { path, cause }
}
