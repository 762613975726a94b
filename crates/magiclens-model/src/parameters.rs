//! The parameters of a module by their paths: collected, and replaced.

use std::collections::{BTreeMap, BTreeSet};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use magiclens_data::Digest;

use crate::ModelError;
use crate::array::{NamedWeights, Weights};

/// All parameters of a module by path, such as `fusion.layers.0.attention.query.weight`.
pub fn tensors_of<M: Module>(module: &M) -> NamedWeights {
    let mut collector = Collector::default();
    module.visit(&mut collector);
    collector.tensors
}

/// Gradients by path as an optimizer takes them, each with the shape of its parameter.
///
/// # Panics
/// If a gradient has another size than its parameter.
pub fn gradients_of<M: Module>(module: &M, gradients: BTreeMap<String, Vec<f32>>) -> GradientsParams {
    let mut giver = GradientGiver {
        path: ModulePath::default(),
        gradients,
        given: GradientsParams::new(),
    };
    module.visit(&mut giver);
    giver.given
}

/// Replaces every parameter of `module` by the tensor of its path.
///
/// # Errors
/// The first misshapen, missing or extra tensor; `model` is named in the message.
pub fn fill<M: Module>(module: M, tensors: NamedWeights, model: &str) -> Result<M, ModelError> {
    check(&module, &tensors, model)?;
    Ok(module.map(&mut Filler {
        path: ModulePath::default(),
        tensors,
    }))
}

/// Holds tensors against the parameters of a module. No random start value is made.
///
/// # Errors
/// The first misshapen, missing or extra tensor; `model` is named in the message.
pub(crate) fn check<M: Module>(module: &M, tensors: &NamedWeights, model: &str) -> Result<(), ModelError> {
    let mut checker = Checker {
        path: ModulePath::default(),
        tensors,
        found: BTreeSet::new(),
        missing: Vec::new(),
        wrong: None,
        model,
    };
    module.visit(&mut checker);
    let Checker {
        found, missing, wrong, ..
    } = checker;
    if let Some(error) = wrong {
        return Err(error);
    }
    if let Some(name) = missing.first() {
        return Err(ModelError::missing(name, missing.len(), model));
    }
    match tensors.keys().find(|name| !found.contains(*name)) {
        Some(name) => Err(ModelError::extra(name, tensors.len() - found.len(), model)),
        None => Ok(()),
    }
}

/// The place of a visitor. Names of enum variants are left out: the kind of a tower stands in the configuration.
#[derive(Default)]
struct ModulePath(Vec<Option<String>>);

impl ModulePath {
    fn enter(&mut self, name: &str, container_type: &str) {
        self.0
            .push((!container_type.starts_with("Enum:")).then(|| name.to_string()));
    }

    fn exit(&mut self) {
        self.0.pop();
    }

    fn name(&self) -> String {
        self.0
            .iter()
            .flatten()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(".")
    }
}

#[derive(Default)]
struct Collector {
    path: ModulePath,
    tensors: NamedWeights,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let data = param.val().into_data();
        let shape = data.shape().iter().copied().collect();
        let values = data.try_to_vec::<f32>().expect("every parameter is f32");
        self.tensors.insert(self.path.name(), Weights { shape, values });
    }
}

struct GradientGiver {
    path: ModulePath,
    gradients: BTreeMap<String, Vec<f32>>,
    given: GradientsParams,
}

impl ModuleVisitor for GradientGiver {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(values) = self.gradients.remove(&self.path.name()) {
            let data = TensorData::new(values, param.lazy_shape());
            self.given
                .register::<D>(param.id, Tensor::from_data(data, &Device::flex()));
        }
    }
}

struct Checker<'a> {
    path: ModulePath,
    tensors: &'a NamedWeights,
    found: BTreeSet<String>,
    missing: Vec<String>,
    wrong: Option<ModelError>,
    model: &'a str,
}

impl ModuleVisitor for Checker<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.path.name();
        let Some(weights) = self.tensors.get(&name) else {
            self.missing.push(name);
            return;
        };
        // The lazy shape leaves the random start values unmade.
        let expected: Vec<usize> = param.lazy_shape().iter().copied().collect();
        if weights.shape != expected {
            self.wrong.get_or_insert_with(|| ModelError::WrongShape {
                name: name.clone(),
                found: weights.shape.clone(),
                expected,
                model: self.model.into(),
            });
        }
        self.found.insert(name);
    }
}

/// Puts checked tensors into a module.
struct Filler {
    path: ModulePath,
    tensors: NamedWeights,
}

impl ModuleMapper for Filler {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.name();
        let Some(weights) = self.tensors.remove(&name) else {
            return param;
        };
        let data = TensorData::new(weights.values, weights.shape);
        let mut filled = Param::from_tensor(Tensor::from_data(data, &param.lazy_device()));
        // The same path always has the same id, so that an optimizer's saved state finds its parameters again.
        filled.id = ParamId::from(Digest::of(&name).seed());
        filled
    }
}
