//! The parameters of a module by their paths: collected, and replaced.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Tensor, TensorData};
use magiclens_data::Digest;

use crate::ModelError;
use crate::array::{NamedWeights, Weights};

/// All parameters of a module by path, such as `fusion.layers.0.attention.query.weight`.
pub fn tensors_of<M: Module>(module: &M) -> NamedWeights {
    let mut collector = Collector::default();
    module.visit(&mut collector);
    collector.tensors
}

/// Replaces every parameter of `module` by the tensor of its path.
///
/// # Errors
/// The first missing, extra or misshapen tensor; `model` is named in the message.
pub fn fill<M: Module>(module: M, tensors: NamedWeights, model: &str) -> Result<M, ModelError> {
    let mut filler = Filler {
        path: ModulePath::default(),
        tensors,
        missing: Vec::new(),
        wrong: None,
        model,
    };
    let module = module.map(&mut filler);
    if let Some(error) = filler.wrong {
        return Err(error);
    }
    if let Some(name) = filler.missing.first() {
        return Err(ModelError::missing(name, filler.missing.len(), model));
    }
    if let Some(name) = filler.tensors.keys().next() {
        return Err(ModelError::extra(name, filler.tensors.len(), model));
    }
    Ok(module)
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

struct Filler<'a> {
    path: ModulePath,
    tensors: NamedWeights,
    missing: Vec<String>,
    wrong: Option<ModelError>,
    model: &'a str,
}

impl ModuleMapper for Filler<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.name();
        let Some(weights) = self.tensors.remove(&name) else {
            self.missing.push(name);
            return param;
        };
        // The lazy shape and device leave the random start values unmade.
        let expected: Vec<usize> = param.lazy_shape().iter().copied().collect();
        if weights.shape != expected {
            let (found, model) = (weights.shape, self.model.into());
            self.wrong.get_or_insert(ModelError::WrongShape {
                name,
                found,
                expected,
                model,
            });
            return param;
        }
        let data = TensorData::new(weights.values, weights.shape);
        let mut filled = Param::from_tensor(Tensor::from_data(data, &param.lazy_device()));
        // The same path always has the same id, so that an optimizer's saved state finds its parameters again.
        filled.id = ParamId::from(Digest::of(&name).seed());
        filled
    }
}
