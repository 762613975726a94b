//! CLIP's normalization.

/// Mean of CLIP's training images, per channel, for values in [0, 1].
pub const CLIP_MEAN: [f32; 3] = [0.48145466, 0.4578275, 0.40821073];
/// Standard deviation of CLIP's training images, per channel, for values in [0, 1].
#[expect(clippy::excessive_precision, reason = "the digits are CLIP's own")]
pub const CLIP_STD: [f32; 3] = [0.26862954, 0.26130258, 0.27577711];
