//! Turns at the model: queries go before background work, which takes its turn in small pieces.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use image::RgbImage;
use magiclens_data::Embedding;
use magiclens_search::{EncodeError, Encoder};

/// Images that background work encodes in one turn: the longest that a query waits for.
const IMAGES_PER_TURN: usize = 4;

/// A model that one caller uses at a time.
#[derive(Default)]
pub(crate) struct Turns {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_taken: bool,
    queries_waiting: usize,
}

/// The right to use the model, until dropped.
pub(crate) struct Turn<'a>(&'a Turns);

impl Turns {
    /// Waits for whoever is at the model.
    pub(crate) fn for_query(&self) -> Turn<'_> {
        let mut state = self.lock();
        state.queries_waiting += 1;
        state = self.wait_while(state, |state| state.is_taken);
        state.queries_waiting -= 1;
        state.is_taken = true;
        Turn(self)
    }

    /// Waits for whoever is at the model, and for all queries.
    fn for_background(&self) -> Turn<'_> {
        let mut state = self.wait_while(self.lock(), |state| state.is_taken || 0 < state.queries_waiting);
        state.is_taken = true;
        Turn(self)
    }

    fn wait_while<'a>(
        &self,
        state: MutexGuard<'a, State>,
        condition: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_while(state, |state| condition(state));
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().is_taken = false;
        self.0.changed.notify_all();
    }
}

/// The model of a service, for background work.
pub struct BackgroundEncoder<E> {
    pub(crate) encoder: Arc<E>,
    pub(crate) turns: Arc<Turns>,
}

impl<E: Encoder> Encoder for BackgroundEncoder<E> {
    fn model_id(&self) -> &str {
        self.encoder.model_id()
    }

    fn dim(&self) -> usize {
        self.encoder.dim()
    }

    fn image_px(&self) -> Option<u32> {
        self.encoder.image_px()
    }

    fn encode_images(&self, images: &[&RgbImage]) -> Result<Vec<Vec<f32>>, EncodeError> {
        let mut outputs = Vec::with_capacity(images.len());
        for piece in images.chunks(IMAGES_PER_TURN) {
            let _turn = self.turns.for_background();
            outputs.extend(self.encoder.encode_images(piece)?);
        }
        Ok(outputs)
    }

    fn encode_texts(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EncodeError> {
        let _turn = self.turns.for_background();
        self.encoder.encode_texts(texts)
    }

    fn fuse(&self, images: &[Vec<f32>], texts: &[Vec<f32>]) -> Result<Vec<Embedding>, EncodeError> {
        let _turn = self.turns.for_background();
        self.encoder.fuse(images, texts)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    /// A model that takes its time, and counts the times that it encoded images.
    #[derive(Default)]
    struct Slow(AtomicUsize);

    impl Encoder for Slow {
        fn model_id(&self) -> &str {
            "slow"
        }

        fn dim(&self) -> usize {
            1
        }

        fn encode_images(&self, images: &[&RgbImage]) -> Result<Vec<Vec<f32>>, EncodeError> {
            std::thread::sleep(Duration::from_millis(20));
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(vec![vec![1.0]; images.len()])
        }

        fn encode_texts(&self, _: &[&str]) -> Result<Vec<Vec<f32>>, EncodeError> {
            Err("there are no texts".into())
        }

        fn fuse(&self, _: &[Vec<f32>], _: &[Vec<f32>]) -> Result<Vec<Embedding>, EncodeError> {
            Err("nothing is fused".into())
        }
    }

    #[test]
    fn a_query_waits_for_one_piece_of_background_work_only() {
        const PIECES: usize = 50;
        let background = BackgroundEncoder {
            encoder: Arc::new(Slow::default()),
            turns: Arc::default(),
        };
        let pieces = || background.encoder.0.load(Ordering::SeqCst);
        let image = RgbImage::new(1, 1);
        std::thread::scope(|scope| {
            let images = vec![&image; PIECES * IMAGES_PER_TURN];
            let background = &background;
            let indexing = scope.spawn(move || background.encode_images(&images).unwrap().len());
            while pieces() == 0 {
                std::thread::yield_now();
            }
            let before = pieces();
            let turn = background.turns.for_query();
            assert!(pieces() <= before + 2, "{before} pieces before, {} after", pieces());
            drop(turn);
            assert_eq!(indexing.join().unwrap(), PIECES * IMAGES_PER_TURN);
        });
        assert_eq!(pieces(), PIECES);
    }
}
