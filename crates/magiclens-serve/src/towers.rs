//! Image tower outputs, kept by content: the costly half of a query is computed once for an image, however many
//! instructions follow.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use magiclens_data::ImageId;

/// A bounded memory of tower outputs. Shared by the handlers, which look, and the model's thread, which fills.
#[derive(Clone)]
pub(crate) struct TowerCache(Arc<Mutex<LruCache<ImageId, Arc<[f32]>>>>);

impl TowerCache {
    /// A memory of the `capacity` outputs that were used last.
    pub(crate) fn new(capacity: NonZeroUsize) -> Self {
        Self(Arc::new(Mutex::new(LruCache::new(capacity))))
    }

    /// The output for this image, `[tower dim]`, if it is still remembered.
    pub(crate) fn get(&self, id: ImageId) -> Option<Arc<[f32]>> {
        self.lock().get(&id).cloned()
    }

    /// Remembers the output for this image.
    pub(crate) fn insert(&self, id: ImageId, output: Arc<[f32]>) {
        self.lock().put(id, output);
    }

    // Nothing in here can be left half changed by a panic, so a poisoned lock is as good as a clean one.
    fn lock(&self) -> MutexGuard<'_, LruCache<ImageId, Arc<[f32]>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let cache = TowerCache::new(NonZeroUsize::new(4).unwrap());
        cache.insert(id(0), Arc::from([0.5]));
        for n in 1..40 {
            let kept = cache.get(id(0));
            assert_eq!(kept.as_deref(), Some(&[0.5][..]), "asked for before image {n}");
            cache.insert(id(n), Arc::from([f32::from(n)]));
        }
        let kept = (0..40).filter(|&n| cache.get(id(n)).is_some());
        assert_eq!(kept.collect::<Vec<_>>(), [0, 37, 38, 39]);
    }
}
