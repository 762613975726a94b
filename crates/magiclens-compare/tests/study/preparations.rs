//! From systems as they are named to a finished study, with fake models.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use magiclens_compare::{CompareError, Host, Method, Preparation, Settings, Study, SystemSource};
use magiclens_data::decode::Limits;
use magiclens_index::Index;
use magiclens_search::{Encoder, IndexOptions, IndexProgress, index_images};

use crate::house::{FakeModel, Gallery, query};

/// A program with the models `one.weights` and `two.weights`.
struct FakeHost {
    folder: PathBuf,
    loads: RefCell<Vec<String>>,
}

struct Silent;

impl IndexProgress for Silent {
    fn hashed(&self, _: usize, _: usize) {}
    fn indexed(&self, _: usize, _: usize) {}
}

impl FakeHost {
    fn new(gallery: &Gallery) -> Self {
        for name in ["one.weights", "two.weights"] {
            fs_err::write(gallery.path(name), name).unwrap();
        }
        let folder = gallery.folder.path().to_owned();
        Self {
            folder,
            loads: RefCell::default(),
        }
    }
}

impl Host for FakeHost {
    type Model = FakeModel;

    fn load(&self, weights: &Path) -> anyhow::Result<FakeModel> {
        let name = weights.file_stem().unwrap().to_string_lossy().into_owned();
        self.loads.borrow_mut().push(name.clone());
        Ok(if name == "one" {
            FakeModel::new("one", 2.0)
        } else {
            FakeModel::new("two", 0.1)
        })
    }

    fn known_weights(&self) -> Vec<PathBuf> {
        vec![self.folder.join("one.weights")]
    }

    fn index(&self, index: &Path, images: &Path, model: &FakeModel) -> anyhow::Result<()> {
        let mut index = Index::create_or_open(index, &model.stamp())?;
        let options = IndexOptions {
            limits: Limits::default(),
            ..IndexOptions::default()
        };
        index_images(&mut index, model, &[images.to_owned()], &options, &Silent)?;
        Ok(())
    }

    fn ranked(&self, done: usize, total: usize) {
        assert!(done <= total);
    }
}

fn preparation(gallery: &Gallery, a: &Path, b: &Path) -> Preparation {
    gallery.queries(&[query("q", "colour-00.png", "blue"), query("r", "colour-03.png", "red")]);
    let source = |path: &Path| SystemSource {
        path: path.to_owned(),
        method: Method::ImageText,
        name: None,
    };
    Preparation {
        systems: [source(a), source(b)],
        queries: gallery.path("queries.jsonl"),
        images: None,
        out: None,
        k: 3,
        seed: 1,
        checks: None,
        question: Settings::QUESTION.to_owned(),
        allow_different_galleries: false,
    }
}

#[test]
fn weights_are_indexed_and_a_finished_study_is_found_again() {
    let gallery = Gallery::new(6);
    let host = FakeHost::new(&gallery);
    let [one, two] = ["one.weights", "two.weights"].map(|name| gallery.path(name));
    let mut preparation = preparation(&gallery, &one, &two);
    assert!(matches!(preparation.run(&host), Err(CompareError::NoImages { .. })));
    let images = gallery.path("images");
    fs_err::create_dir(&images).unwrap();
    for (name, _) in &gallery.ids {
        fs_err::copy(gallery.path(name), images.join(name)).unwrap();
    }
    preparation.images = Some(images);
    let dir = preparation.run(&host).unwrap();
    assert_eq!(dir, gallery.path("queries.study"));
    let study = Study::open(&dir).unwrap();
    assert_eq!(study.names, ["one", "two"]);
    assert_eq!((study.items.len(), study.settings.automatic_checks), (3, 1));

    let ranked = host.loads.take().len();
    preparation.systems[1].name = Some("the other".to_owned());
    assert_eq!(preparation.run(&host).unwrap(), dir);
    assert!(host.loads.take().len() < ranked, "nothing is ranked again");
    assert_eq!(Study::open(&dir).unwrap().names, ["one", "the other"]);
    preparation.k = 4;
    assert!(matches!(preparation.run(&host), Err(CompareError::OtherStudy { .. })));
}

#[test]
fn the_model_of_an_index_is_looked_for() {
    let gallery = Gallery::new(6);
    let host = FakeHost::new(&gallery);
    let [one, two] = [FakeModel::new("one", 2.0), FakeModel::new("two", 0.1)].map(|model| {
        gallery.index(&model, 0);
        gallery.path(&format!("{}-0.index", model.name))
    });
    let error = preparation(&gallery, &one, &two).run(&host).unwrap_err();
    assert!(matches!(error, CompareError::UnknownModel { .. }), "{error}");
    assert!(
        error.to_string().contains("two-0.index` was made with the model `two`"),
        "{error}"
    );
    let mut same = preparation(&gallery, &one, &one);
    assert!(matches!(same.run(&host), Err(CompareError::SameSystem)));
    same.systems[1].method = Method::Image;
    same.out = Some(gallery.path("out"));
    let study = Study::open(&same.run(&host).unwrap()).unwrap();
    assert_eq!(study.names, ["one-0.index (image+text)", "one-0.index (image)"]);
    let gone = preparation(&gallery, &gallery.path("gone"), &one)
        .run(&host)
        .unwrap_err();
    assert!(matches!(gone, CompareError::NoSystem { .. }), "{gone}");
}
