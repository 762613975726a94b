//! All experiments as data: a question of the paper, the conditions that answer it, and what is looked at.
//!
//! The paper: Zhang et al., MagicLens, 2024 (arXiv 2403.19651).

use magiclens_collection::{DRAWING_TO_PHOTO, GROUP, SKETCH_TO_COLOR, SKIN_TONE};

use crate::ExperimentError;
use crate::condition::{Condition, HeadShape, Triplets};
use crate::experiment::{Axis, Experiment, Extra, Finding};
use crate::metric::{KEPT_R1, MEAN_R1, MEAN_R10, Metric, TEXT_R10};

const BASE: Condition = Condition::BASE;
const MEANS: &[Metric] = &[MEAN_R1, MEAN_R10];
const FOCUS_STYLE: Metric = Metric::of("focus style R@1", "focus_style", "R@1");
const FOCUS_THING: Metric = Metric::of("focus thing R@1", "focus_thing", "R@1");

const NO_QUERY_NEGATIVES: Condition = Condition {
    name: "no-query-negatives",
    label: "targets alone",
    train: "query_negatives = false",
    ..BASE
};
const ONE_WORDING: Condition = Condition {
    name: "one-wording",
    label: "one wording a request",
    triplets: Triplets::OneWording,
    ..BASE
};

/// All of them.
pub static ALL: [Experiment; 9] = [
    Experiment {
        name: "query-negatives",
        title: "Query images as negatives",
        paper: "MagicLens takes the query images of a batch as negatives beside its targets, so that a model cannot do without the \
                instruction. Query kept: the query image stays in its own ranking.",
        conditions: &[
            Condition {
                label: "with query images",
                ..BASE
            },
            NO_QUERY_NEGATIVES,
        ],
        metrics: &[KEPT_R1, MEAN_R1, MEAN_R10, FOCUS_STYLE, FOCUS_THING],
        finding: Finding::Better {
            better: 0,
            than: 1,
            claim: "query images as negatives help",
        },
        axis: None,
        extra: None,
    },
    Experiment {
        name: "data-scale",
        title: "Number of triplets",
        paper: "MagicLens gets better with more triplets, up to all of its 36.7 million. Here the steps are the same for every \
                number of triplets, so that few are seen more often.",
        conditions: &[
            Condition {
                label: "100 % of the triplets",
                at: 100.0,
                ..BASE
            },
            share("triplets-30", "30 %", 30.0),
            share("triplets-10", "10 %", 10.0),
            share("triplets-3", "3 %", 3.0),
            share("triplets-1", "1 %", 1.0),
        ],
        metrics: MEANS,
        finding: Finding::Rises {
            claim: "more triplets make a better model",
        },
        axis: Some(Axis::Factor("share of the triplets in %")),
        extra: None,
    },
    Experiment {
        name: "wording",
        title: "Kinds and wordings of instructions",
        paper: "MagicLens finds instructions in free wordings, written by a language model, better than those of templates, and leaves \
                open what other kinds of instructions a model learns that was not trained on them.",
        conditions: &[
            Condition {
                label: "many wordings",
                ..BASE
            },
            ONE_WORDING,
            without("without-skin-tone", "without skin_tone", SKIN_TONE),
            without("without-group", "without group", GROUP),
            without("without-sketch", "without sketch_to_colour", SKETCH_TO_COLOR),
            without("without-photo", "without drawing_to_photo", DRAWING_TO_PHOTO),
        ],
        metrics: MEANS,
        finding: Finding::Wordings {
            many: 0,
            one: 1,
            claim: "many wordings are better than one template",
        },
        axis: None,
        extra: None,
    },
    Experiment {
        name: "instruction-quality",
        title: "Quality of instructions",
        paper: "MagicLens leaves open how the quality of synthetic instructions, and a measure of it, bears on retrieval.",
        conditions: &[
            Condition { label: "sound", ..BASE },
            damaged("vague-20", "20 % vague", Triplets::Vague(0.2)),
            damaged("vague-50", "50 % vague", Triplets::Vague(0.5)),
            damaged("wrong-20", "20 % wrong", Triplets::Wrong(0.2)),
            damaged("wrong-50", "50 % wrong", Triplets::Wrong(0.5)),
        ],
        metrics: MEANS,
        finding: Finding::Damage { sound: 0, worst: 4 },
        axis: None,
        extra: Some(Extra::Agreement),
    },
    Experiment {
        name: "failures",
        title: "Ambiguous and contradictory instructions",
        paper: "MagicLens leaves open how a model fails where an instruction is ambiguous, contradicts itself, or has no answer.",
        conditions: &[BASE, NO_QUERY_NEGATIVES, ONE_WORDING],
        metrics: MEANS,
        finding: Finding::Failures,
        axis: None,
        extra: Some(Extra::Robustness),
    },
    Experiment {
        name: "hard-negatives",
        title: "Hard negatives of the triplets",
        paper: "MagicLens has no negatives but those of the batch. The collection names for each triplet images that are easily taken \
                for right ones, e.g. the same thing in another style; here one of them joins the columns of the batch for each triplet.",
        conditions: &[
            Condition {
                label: "without",
                ..BASE
            },
            Condition {
                name: "hard-negatives",
                label: "one a triplet",
                train: "hard_negatives = 1",
                ..BASE
            },
            Condition {
                name: "hard-negatives-alone",
                label: "one a triplet, no query images",
                train: "hard_negatives = 1\nquery_negatives = false",
                ..BASE
            },
        ],
        metrics: &[MEAN_R1, MEAN_R10, FOCUS_STYLE, FOCUS_THING],
        finding: Finding::Better {
            better: 1,
            than: 0,
            claim: "hard negatives help beside query images",
        },
        axis: None,
        extra: None,
    },
    Experiment {
        name: "fusion-layers",
        title: "Layers of the fusion",
        paper: "MagicLens fuses image and text by four layers of self-attention before the pooler.",
        conditions: &[
            Condition {
                label: "4 layers",
                at: 4.0,
                ..BASE
            },
            layers("layers-2", "2 layers", 2),
            layers("layers-1", "1 layer", 1),
            layers("layers-0", "no layer", 0),
        ],
        metrics: MEANS,
        finding: Finding::Rises {
            claim: "a fusion of four layers is better than a pooler alone",
        },
        axis: Some(Axis::Value("layers before the pooler")),
        extra: None,
    },
    Experiment {
        name: "text-only",
        title: "Text-only queries in training",
        paper: "MagicLens keeps or improves text -> image retrieval of the towers that it starts from. Here both towers' projections \
                start at random, and captions of the images join the training by a loss of their own.",
        conditions: &[
            Condition {
                label: "weight 0.2",
                at: 0.2,
                ..BASE
            },
            captions("captions-0", "weight 0", "caption_weight = 0.0", 0.0),
            captions("captions-1", "weight 1", "caption_weight = 1.0", 1.0),
        ],
        metrics: &[TEXT_R10, MEAN_R10, MEAN_R1],
        finding: Finding::Captions { with: 0, without: 1 },
        axis: Some(Axis::Value("weight of the caption loss")),
        extra: None,
    },
    Experiment {
        name: "efficiency",
        title: "Metric against parameters",
        paper: "MagicLens is as good as models that are fifty times larger. Here the towers stay, and width and depth of the head \
                change.",
        conditions: &[
            Condition {
                label: "384 x 4",
                ..BASE
            },
            shaped("width-64", "64 x 4", 64, 4),
            shaped("width-128", "128 x 4", 128, 4),
            shaped("width-256", "256 x 4", 256, 4),
            Condition {
                label: "384 x 1",
                ..layers("layers-1", "", 1)
            },
            Condition {
                label: "384 x 0",
                ..layers("layers-0", "", 0)
            },
        ],
        metrics: MEANS,
        finding: Finding::Size {
            claim: "a small model is enough",
        },
        axis: Some(Axis::Parameters),
        extra: None,
    },
];

/// The experiment of this name.
///
/// # Errors
/// A name that none has.
pub fn named(name: &str) -> Result<&'static Experiment, ExperimentError> {
    let found = ALL.iter().find(|experiment| experiment.name == name);
    found.ok_or_else(|| ExperimentError::Unknown {
        name: name.to_owned(),
        known: ALL.iter().map(|experiment| experiment.name).collect(),
    })
}

const fn share(name: &'static str, label: &'static str, percent: f64) -> Condition {
    Condition {
        name,
        label,
        triplets: Triplets::Share(percent / 100.0),
        at: percent,
        ..BASE
    }
}

const fn without(name: &'static str, label: &'static str, relation: &'static str) -> Condition {
    Condition {
        name,
        label,
        triplets: Triplets::Without(relation),
        ..BASE
    }
}

const fn damaged(name: &'static str, label: &'static str, triplets: Triplets) -> Condition {
    Condition {
        name,
        label,
        triplets,
        ..BASE
    }
}

const fn layers(name: &'static str, label: &'static str, layers: usize) -> Condition {
    Condition {
        name,
        label,
        head: HeadShape {
            dim: None,
            layers: Some(layers),
        },
        at: layers as f64,
        ..BASE
    }
}

const fn shaped(name: &'static str, label: &'static str, dim: usize, layers: usize) -> Condition {
    Condition {
        name,
        label,
        head: HeadShape {
            dim: Some(dim),
            layers: Some(layers),
        },
        ..BASE
    }
}

const fn captions(name: &'static str, label: &'static str, train: &'static str, at: f64) -> Condition {
    Condition {
        name,
        label,
        train,
        at,
        ..BASE
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use magiclens_model::ModelConfig;
    use magiclens_model::fusion::FusionConfig;

    use super::*;
    use crate::Settings;

    #[test]
    fn every_condition_can_be_run() {
        let settings = Settings::read(None).unwrap();
        for condition in ALL.iter().flat_map(|experiment| experiment.conditions) {
            condition.train(&settings, 1).unwrap();
            condition.model(&ModelConfig::small()).unwrap();
        }
    }

    #[test]
    fn conditions_of_one_name_are_one() {
        let mut known: BTreeMap<&str, Condition> = BTreeMap::new();
        for experiment in &ALL {
            let names: BTreeSet<&str> = experiment.conditions.iter().map(|condition| condition.name).collect();
            assert_eq!(names.len(), experiment.conditions.len(), "{}", experiment.name);
            for condition in experiment.conditions {
                let same = known.entry(condition.name).or_insert(*condition);
                let (a, b) = (same.train, condition.train);
                assert_eq!((a, same.triplets, same.head), (b, condition.triplets, condition.head));
            }
        }
        // No two names for one condition on the towers of `small`, either: its runs would be trained twice.
        let small = ModelConfig::small();
        let different: BTreeSet<String> = known
            .values()
            .map(|one| format!("{} {:?} {:?}", one.train, one.triplets, one.model(&small).unwrap()))
            .collect();
        assert_eq!(different.len(), known.len());
    }

    #[test]
    fn sizes_are_those_of_the_labels() {
        for condition in named("efficiency").unwrap().conditions {
            let model = condition.model(&ModelConfig::small()).unwrap();
            let FusionConfig::Attention(fusion) = model.fusion else {
                panic!("`{}` has no fusion to train", condition.label)
            };
            assert_eq!(condition.label, format!("{} x {}", model.dim, fusion.layers));
        }
    }

    #[test]
    fn names_are_found() {
        assert_eq!(named("wording").unwrap().name, "wording");
        let error = named("nothing").unwrap_err().to_string();
        assert!(
            error.contains("query-negatives, data-scale") && error.contains("experiment list"),
            "{error}"
        );
    }
}
