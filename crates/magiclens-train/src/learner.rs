//! All that a run trains: a head, and the towers that are not frozen.

use burn::module::{Module, ParamGroup};
use burn::tensor::Device;
use magiclens_model::checkpoint::{NamedWeights, fill, tensors_of};
use magiclens_model::towers::{TextTower, VisionTower};
use magiclens_model::{MagicLens, ModelError};

use crate::head::Head;
use crate::trained::TrainedTowers;

/// A head and its trained towers.
#[derive(Clone, Debug)]
pub struct Learner {
    /// Projections, fusion and temperature.
    pub head: Head,
    /// The towers below.
    pub towers: Towers,
    /// The devices that towers run on; the first one holds them. The head is on the CPU.
    devices: Vec<Device>,
}

/// Trained towers. Of a tower of a trunk and a projection the trunk is trained here; its projection is the head's, and the one in
/// the tower stays as it is.
#[derive(Module, Debug)]
pub struct Towers {
    /// The image tower, if it is trained.
    pub image_tower: Option<VisionTower>,
    /// The text tower, if it is trained.
    pub text_tower: Option<TextTower>,
}

const IMAGE_TOWER: &str = "image_tower.";
const TEXT_TOWER: &str = "text_tower.";
/// The trained part of a tower with a projection.
const TRUNK: &str = "trunk.";

impl Learner {
    /// Takes what is trained out of a model.
    pub fn of(model: &MagicLens, trained: TrainedTowers) -> Self {
        Self {
            head: Head::of(model).to_device(&Device::flex()),
            towers: Towers {
                image_tower: trained.image().then(|| model.vision.clone()),
                text_tower: trained.text().then(|| model.text.clone()),
            },
            devices: Vec::new(),
        }
        .on(vec![Device::flex()])
    }

    /// The same, whose towers run on some devices, at least one.
    pub fn on(self, devices: Vec<Device>) -> Self {
        Self {
            towers: self.towers.to_device(&devices[0]),
            devices,
            ..self
        }
    }

    /// The towers without tapes, once on each device.
    pub(crate) fn replicas(&self) -> Vec<Towers> {
        let towers = self.towers.valid();
        let devices = self.devices.iter();
        devices.map(|device| towers.clone().to_device(device)).collect()
    }

    /// A head on frozen towers.
    pub fn frozen(head: Head) -> Self {
        Self {
            head,
            towers: Towers {
                image_tower: None,
                text_tower: None,
            },
            devices: vec![Device::flex()],
        }
    }

    /// Puts what was trained back, on the CPU; `None` if a tower of the model has no place for it, or has a projection that it lacks.
    pub fn into_model(self, model: MagicLens) -> Option<MagicLens> {
        let Towers {
            image_tower,
            text_tower,
        } = self.towers;
        let model = MagicLens {
            vision: image_tower.unwrap_or(model.vision),
            text: text_tower.unwrap_or(model.text),
            ..model
        };
        let model = model.to_device(&Device::flex());
        self.head.into_model(model)
    }

    /// All trained tensors by name: those of the head as they are, those of towers below `image_tower` and `text_tower`.
    pub fn tensors(&self) -> NamedWeights {
        let mut all = tensors_of(&self.head);
        all.extend(
            self.towers
                .tensors()
                .into_iter()
                .filter(|(name, _)| self.towers.trains(name)),
        );
        all
    }

    /// Replaces all trained tensors.
    ///
    /// # Errors
    /// The first misshapen, missing or extra tensor; `model` is named in the message.
    pub(crate) fn filled(self, tensors: NamedWeights, model: &str) -> Result<Self, ModelError> {
        let is_of_tower = |name: &str| name.starts_with(IMAGE_TOWER) || name.starts_with(TEXT_TOWER);
        let (of_towers, of_head) = tensors.into_iter().partition(|(name, _)| is_of_tower(name));
        Ok(Self {
            head: fill(self.head, of_head, model)?,
            towers: self.towers.filled(of_towers, model)?,
            devices: self.devices,
        })
    }

    /// The same, to be trained.
    pub(crate) fn train(self) -> Self {
        Self {
            head: self.head.train(),
            towers: self.towers.train(),
            devices: self.devices,
        }
    }

    /// The same, to be asked.
    pub(crate) fn valid(&self) -> Self {
        Self {
            head: self.head.valid(),
            towers: self.towers.valid(),
            devices: self.devices.clone(),
        }
    }

    /// The parameters that the start model may bring trained: projections and trained towers; `None` if there are none.
    pub(crate) fn pretrained(&self) -> Option<ParamGroup> {
        let (vision, text) = self.head.projections();
        let some = vision.is_some() || text.is_some() || self.towers.any();
        some.then(|| ParamGroup::ids_from_module((vision, text, self.towers.clone())))
    }
}

impl Towers {
    /// True if there is any.
    pub fn any(&self) -> bool {
        self.image_tower.is_some() || self.text_tower.is_some()
    }

    fn tensors(&self) -> NamedWeights {
        match self.any() {
            true => tensors_of(self),
            false => NamedWeights::new(),
        }
    }

    /// True for the name of a tensor that is trained.
    fn trains(&self, name: &str) -> bool {
        let is_whole = |projected: Option<bool>| projected == Some(false);
        let (rest, is_whole) = match (name.strip_prefix(IMAGE_TOWER), name.strip_prefix(TEXT_TOWER)) {
            (Some(rest), _) => {
                let projected = self.image_tower.as_ref().map(|tower| tower.projection().is_some());
                (rest, is_whole(projected))
            }
            (None, Some(rest)) => {
                let projected = self.text_tower.as_ref().map(|tower| tower.projection().is_some());
                (rest, is_whole(projected))
            }
            (None, None) => return false,
        };
        is_whole || rest.starts_with(TRUNK)
    }

    fn filled(self, trained: NamedWeights, model: &str) -> Result<Self, ModelError> {
        let mut tensors = self.tensors();
        tensors.retain(|name, _| !self.trains(name));
        tensors.extend(trained);
        fill(self, tensors, model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::model_config;

    #[test]
    fn trained_tensors_go_forth_and_back() {
        let [one, other] = [1, 2].map(|seed| model_config().init_seeded(seed));
        for (trained, image, text) in [
            (TrainedTowers::None, false, false),
            (TrainedTowers::Text, false, true),
            (TrainedTowers::Image, true, false),
            (TrainedTowers::Both, true, true),
        ] {
            let learner = Learner::of(&one, trained);
            let tensors = learner.tensors();
            let has = |part: &str| tensors.keys().any(|name| name.starts_with(part));
            assert_eq!((has("image_tower.trunk."), has("text_tower.trunk.")), (image, text));
            // The projections are the head's.
            assert!(!has("image_tower.projection.") && has("vision.linear."));

            let filled = Learner::of(&other, trained).filled(tensors.clone(), "toy").unwrap();
            assert!(filled.tensors() == tensors);
            let whole = tensors_of(&filled.into_model(other.clone()).unwrap());
            let (one, other) = (tensors_of(&one), tensors_of(&other));
            for (name, weights) in &whole {
                let is_ours = match name.split_once(".trunk.") {
                    Some(("vision", _)) => image,
                    Some(_) => text,
                    None => true,
                };
                assert!(weights == if is_ours { &one[name] } else { &other[name] }, "`{name}`");
            }
        }
    }

    #[test]
    fn a_missing_and_an_extra_tensor_are_refused_by_name() {
        let learner = || Learner::of(&model_config().init_seeded(1), TrainedTowers::Text);
        let name = "text_tower.trunk.blocks.0.feed_forward_in.bias";
        let mut tensors = learner().tensors();
        let bias = tensors.remove(name).unwrap();
        let told = learner().filled(tensors.clone(), "toy").unwrap_err().to_string();
        assert!(told.contains(name), "{told}");
        tensors.insert(name.to_owned(), bias.clone());
        tensors.insert("image_tower.trunk.stem.bias".to_owned(), bias);
        let told = learner().filled(tensors, "toy").unwrap_err().to_string();
        assert!(told.contains("image_tower.trunk.stem.bias"), "{told}");
    }
}
