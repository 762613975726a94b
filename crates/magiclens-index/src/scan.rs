//! Finds what changed on disk since the last run.
//!
//! A file with the same path, size and time of change is taken as unchanged; of all others the content is hashed, and
//! the hash decides: new content must be embedded, known content has only got another path.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use magiclens_data::ImageId;
use magiclens_data::decode::{self, DecodeError, Limits};
use magiclens_data::files::read_capped;
use rayon::prelude::*;

use crate::error::IndexError;
use crate::image::FileStamp;
use crate::plan::{Before, Change, Pending, Plan};
use crate::skipped::Skipped;
use crate::walk::Walk;

/// Compares what lies under `paths` with what the index knew; `hashed(done, of)` is called as files are hashed.
pub(crate) fn scan(
    paths: &[PathBuf],
    before: &Before,
    limits: &Limits,
    hashed: impl Fn(usize, usize) + Sync,
) -> Result<Plan, IndexError> {
    let mut walk = Walk::default();
    for path in paths {
        walk.root(path)?;
    }
    let mut plan = Plan {
        payloads: walk.read_collections(),
        ..Plan::default()
    };
    plan.counts.other_files = walk.other_files;
    let is_gone = |path: &&PathBuf| walk.covers(path) && !walk.files.contains_key(*path);
    plan.gone = before.files.keys().filter(is_gone).cloned().collect();
    plan.gone.sort();

    let to_hash = plan.changed_files(before, &mut walk);
    let done = AtomicUsize::new(0);
    let total = to_hash.len();
    let contents: Vec<_> = to_hash
        .into_par_iter()
        .map(|stamp| {
            let content = Content::read(&stamp, limits);
            hashed(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            (stamp, content)
        })
        .collect();
    plan.sort_out(contents, before, &mut walk.skipped);
    plan.skipped = walk.skipped.into_values().collect();
    plan.roots = walk.roots;
    Ok(plan)
}

/// A content that was hashed.
struct Content {
    id: ImageId,
    pixels: u64,
}

impl Content {
    fn read(file: &FileStamp, limits: &Limits) -> Result<Self, DecodeError> {
        let bytes = read_capped(&file.path, limits.max_bytes)?;
        Ok(Self {
            id: ImageId::of_bytes(&bytes),
            pixels: decode::pixels(&bytes, limits),
        })
    }
}

impl Plan {
    /// The files whose content has to be looked at; those that were broken before and are the same go to the skipped ones.
    fn changed_files(&mut self, before: &Before, walk: &mut Walk) -> Vec<FileStamp> {
        let mut changed = Vec::new();
        for (path, stamp) in std::mem::take(&mut walk.files) {
            let broken = before.skipped.get(&path);
            if before.files.get(&path).is_some_and(|(known, _)| *known == stamp) {
                self.counts.unchanged += 1;
            } else if let Some(known) = broken.filter(|known| known.stamp.as_ref() == Some(&stamp)) {
                walk.skipped.insert(path, known.clone());
            } else {
                changed.push(stamp);
            }
        }
        changed
    }

    /// Decides about each hashed file.
    fn sort_out(
        &mut self,
        hashed: Vec<(FileStamp, Result<Content, DecodeError>)>,
        before: &Before,
        skipped: &mut BTreeMap<PathBuf, Skipped>,
    ) {
        let in_index: HashSet<ImageId> = before.files.values().map(|(_, id)| *id).collect();
        // Each path that is gone can have moved once.
        let mut departed: HashMap<ImageId, usize> = HashMap::new();
        for path in &self.gone {
            *departed.entry(before.files[path].1).or_default() += 1;
        }
        let mut pending_at = HashMap::new();
        for (stamp, content) in hashed {
            let before_here = before.files.get(&stamp.path).map(|(_, id)| *id);
            match content {
                Err(error) => {
                    skipped.insert(stamp.path.clone(), Skipped::content(&stamp, &error));
                }
                Ok(content) if in_index.contains(&content.id) => {
                    self.add_known(stamp, content.id, before_here, departed.get_mut(&content.id));
                }
                Ok(content) => self.add_pending(stamp, &content, before_here.is_some(), &mut pending_at),
            }
        }
        self.counts.removed = self.gone.len() - self.counts.moved;
    }

    /// A file with a content of the index; `departed` counts the paths of that content that are gone.
    fn add_known(&mut self, stamp: FileStamp, id: ImageId, before_here: Option<ImageId>, departed: Option<&mut usize>) {
        match (before_here, departed.filter(|count| 0 < **count)) {
            (Some(before_here), _) if before_here == id => self.counts.unchanged += 1,
            (Some(_), _) => self.counts.changed += 1,
            (None, Some(count)) => {
                *count -= 1;
                self.counts.moved += 1;
            }
            (None, None) => self.counts.duplicates += 1,
        }
        self.known.push((stamp, id));
    }

    /// A file with a new content.
    fn add_pending(
        &mut self,
        stamp: FileStamp,
        content: &Content,
        was_known: bool,
        pending_at: &mut HashMap<ImageId, usize>,
    ) {
        let at = *pending_at.entry(content.id).or_insert(self.pending.len());
        if let Some(pending) = self.pending.get_mut(at) {
            pending.files.push(stamp);
            return;
        }
        self.pending.push(Pending {
            id: content.id,
            files: vec![stamp],
            change: if was_known { Change::Changed } else { Change::Added },
            payload: self.payloads.get(&content.id).cloned().unwrap_or_default(),
            pixels: content.pixels,
        });
    }
}
