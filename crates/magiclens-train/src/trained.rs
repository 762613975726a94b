//! The towers that a run trains beside its head.

use serde::{Deserialize, Serialize};

/// The towers that are trained; the others stay as the start model brings them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrainedTowers {
    /// Neither: a head on frozen features.
    #[default]
    None,
    /// The text tower below a locked image tower (LiT, Zhai et al. 2022).
    Text,
    /// The image tower beside a locked text tower.
    Image,
    /// Both: the whole model.
    Both,
}

impl TrainedTowers {
    /// Of both towers whether they are trained.
    pub fn of(image: bool, text: bool) -> Self {
        match (image, text) {
            (false, false) => Self::None,
            (false, true) => Self::Text,
            (true, false) => Self::Image,
            (true, true) => Self::Both,
        }
    }

    /// True if any tower is trained.
    pub fn any(self) -> bool {
        self != Self::None
    }

    /// True if the image tower is trained.
    pub fn image(self) -> bool {
        matches!(self, Self::Image | Self::Both)
    }

    /// True if the text tower is trained.
    pub fn text(self) -> bool {
        matches!(self, Self::Text | Self::Both)
    }
}
