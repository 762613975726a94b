//! One wording for each request, where the collection has many: a template for each relation, filled in one way.

use std::collections::HashMap;

use magiclens_collection::{Ask, LabeledImage};
use magiclens_data::{ImageId, Triplet};

/// A request: its relation, whether it names a style, and the answer that it names.
type Request = (String, bool, String);

/// The triplets with one wording for each request: that of its first triplet in the template with which its relation begins,
/// or of its first triplet where none has that template.
pub(crate) fn one_wording(all: &[Triplet], images: &[LabeledImage]) -> Vec<Triplet> {
    let labels: HashMap<ImageId, &LabeledImage> = images.iter().map(|image| (image.id, image)).collect();
    let mut templates: HashMap<(&str, bool), &str> = HashMap::new();
    let mut wordings: HashMap<Request, (bool, &str)> = HashMap::new();
    let requests: Vec<Request> = all.iter().map(|triplet| request(triplet, &labels)).collect();
    for (triplet, request) in all.iter().zip(&requests) {
        let generator = triplet.provenance.generator.as_str();
        let of_relation = templates
            .entry((&triplet.relation, names_style(triplet)))
            .or_insert(generator);
        let is_first = *of_relation == generator;
        let wording = wordings
            .entry(request.clone())
            .or_insert((is_first, &triplet.instruction));
        if is_first && !wording.0 {
            *wording = (true, &triplet.instruction);
        }
    }
    let reworded = all.iter().zip(&requests).map(|(triplet, request)| Triplet {
        instruction: wordings[request].1.to_owned(),
        ..triplet.clone()
    });
    reworded.collect()
}

fn request(triplet: &Triplet, labels: &HashMap<ImageId, &LabeledImage>) -> Request {
    let answer = triplet.targets.first().and_then(|id| labels.get(id));
    let named = answer.map_or(String::new(), |answer| match names_style(triplet) {
        true => answer.style.clone(),
        false => Ask::of(&triplet.relation, answer).map_or(String::new(), |ask| format!("{ask:?}")),
    });
    (triplet.relation.clone(), names_style(triplet), named)
}

/// "as a drawing" and "in the style of Noto" are requests of one relation.
fn names_style(triplet: &Triplet) -> bool {
    triplet.provenance.generator.starts_with("template:style")
}

#[cfg(test)]
mod tests {
    use magiclens_collection::{ImageKind, SKIN_TONE, STYLE, Split};
    use magiclens_data::{Image, Provenance};

    use super::*;

    fn image(name: &str, style: &str, tone: Option<&str>) -> LabeledImage {
        LabeledImage {
            image: Image {
                id: ImageId::of_bytes(name.as_bytes()),
                path: name.to_owned(),
                width: 8,
                height: 8,
                caption: String::new(),
                tags: Vec::new(),
                source: String::new(),
                license: String::new(),
            },
            kind: ImageKind::Drawing,
            concept: name.to_owned(),
            root: name.to_owned(),
            also: Vec::new(),
            style: style.to_owned(),
            family: style.to_owned(),
            group: String::new(),
            subgroup: String::new(),
            skin_tone: tone.map(str::to_owned),
            gender: None,
            color: None,
            split: Split::Train,
        }
    }

    #[test]
    fn a_request_has_one_wording_in_the_template_of_its_relation() {
        let images = [
            image("a", "noto", None),
            image("b", "twemoji", None),
            image("c", "noto", Some("dark")),
            image("d", "noto", Some("light")),
        ];
        let rows = [
            (1, STYLE, "as twemoji!", "template:style-name/3"),
            (0, STYLE, "a noto drawing", "template:style-look/1"),
            (0, STYLE, "As noto", "template:style-name/3"),
            (1, STYLE, "how does twemoji draw it", "template:style-name/9"),
            (2, SKIN_TONE, "with dark skin", "template:skin-tone/0"),
            (3, SKIN_TONE, "the light one", "template:skin-tone/5"),
            (2, SKIN_TONE, "dark, please", "template:skin-tone/5"),
        ];
        let triplet = |&(target, relation, text, generator): &(usize, &str, &str, &str)| Triplet {
            query: images[0].id,
            second: None,
            instruction: text.to_owned(),
            targets: vec![images[target].id],
            relation: relation.to_owned(),
            hard_negatives: Vec::new(),
            provenance: Provenance {
                generator: generator.to_owned(),
                ..Provenance::default()
            },
        };
        let all: Vec<Triplet> = rows.iter().map(triplet).collect();
        let found = one_wording(&all, &images);
        let texts: Vec<&str> = found.iter().map(|triplet| triplet.instruction.as_str()).collect();
        let expected = [
            "as twemoji!",
            "As noto",
            "As noto",
            "as twemoji!",
            "with dark skin",
            "the light one",
            "with dark skin",
        ];
        assert_eq!(texts, expected);
        assert!(
            found
                .iter()
                .zip(&all)
                .all(|(a, b)| a.targets == b.targets && a.relation == b.relation)
        );
    }
}
