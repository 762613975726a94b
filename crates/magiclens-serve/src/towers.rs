//! Image tower outputs, kept by content: the costly half of a query is computed once for an image, however many
//! instructions follow.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use magiclens_data::ImageId;

/// A bounded memory of tower outputs. Shared by the handlers, which look, and the model's thread, which fills.
#[derive(Clone)]
pub(crate) struct TowerCache(Arc<Mutex<Generations>>);

/// Two generations approximate "least recently used" without a list: what is used moves to the young one; when that is
/// full it becomes the old one, and what nobody used since is forgotten.
struct Generations {
    young: HashMap<ImageId, Arc<[f32]>>,
    old: HashMap<ImageId, Arc<[f32]>>,
    capacity: usize,
}

impl TowerCache {
    /// A memory of at most `capacity` outputs (at least 2).
    pub(crate) fn new(capacity: usize) -> Self {
        let generations = Generations {
            young: HashMap::new(),
            old: HashMap::new(),
            capacity: (capacity / 2).max(1),
        };
        Self(Arc::new(Mutex::new(generations)))
    }

    /// The output for this image, `[tower dim]`, if it is still remembered.
    pub(crate) fn get(&self, id: ImageId) -> Option<Arc<[f32]>> {
        let mut generations = self.lock();
        if let Some(output) = generations.young.get(&id) {
            return Some(output.clone());
        }
        let output = generations.old.remove(&id)?;
        generations.insert(id, output.clone());
        Some(output)
    }

    /// Remembers the output for this image.
    pub(crate) fn insert(&self, id: ImageId, output: Arc<[f32]>) {
        self.lock().insert(id, output);
    }

    // Nothing in here can be left half changed by a panic, so a poisoned lock is as good as a clean one.
    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn insert(&mut self, id: ImageId, output: Arc<[f32]>) {
        if self.young.len() >= self.capacity && !self.young.contains_key(&id) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, output);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> ImageId {
        ImageId::from_bytes([n; 16])
    }

    #[test]
    fn used_images_stay_and_unused_ones_go() {
        let cache = TowerCache::new(4);
        cache.insert(id(0), Arc::from([0.5]));
        for n in 1..40 {
            assert_eq!(
                cache.get(id(0)).as_deref(),
                Some(&[0.5][..]),
                "asked for before picture {n}"
            );
            cache.insert(id(n), Arc::from([n as f32]));
        }
        assert_eq!(cache.get(id(1)), None);
        let kept = (0..40).filter(|&n| cache.get(id(n)).is_some()).count();
        assert!(kept <= 4, "{kept} are kept");
    }
}
