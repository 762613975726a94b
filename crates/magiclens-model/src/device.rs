//! Devices by name: the CPU, and GPUs through those backends of burn that the program was built with (docs/devices.md).

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::str::FromStr;

use burn::tensor::{Device, DeviceType, Tensor};

/// A way to compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// This machine's CPU, by kernels of our own where there are some.
    #[default]
    Cpu,
    /// NVIDIA GPUs; feature `cuda`.
    Cuda,
    /// AMD GPUs; feature `rocm`.
    Rocm,
    /// Apple GPUs; feature `metal`.
    Metal,
    /// GPUs of any maker with a Vulkan driver; feature `vulkan`.
    Vulkan,
    /// GPUs of any maker, by whatever the system has for them, in a language that every driver takes; feature `wgpu`.
    Wgpu,
}

impl Backend {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Cpu, Self::Cuda, Self::Rocm, Self::Metal, Self::Vulkan, Self::Wgpu];

    /// Its name, which is that of its feature, too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Rocm => "rocm",
            Self::Metal => "metal",
            Self::Vulkan => "vulkan",
            Self::Wgpu => "wgpu",
        }
    }

    /// burn's name; `None` where the program was built without it.
    fn device_type(self) -> Option<DeviceType> {
        match self {
            Self::Cpu => Some(DeviceType::Flex),
            #[cfg(feature = "cuda")]
            Self::Cuda => Some(DeviceType::Cuda),
            #[cfg(feature = "rocm")]
            Self::Rocm => Some(DeviceType::Rocm),
            #[cfg(feature = "metal")]
            Self::Metal => Some(DeviceType::Metal),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => Some(DeviceType::Vulkan),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => Some(DeviceType::Wgpu),
            #[cfg(not(all(
                feature = "cuda",
                feature = "rocm",
                feature = "metal",
                feature = "vulkan",
                feature = "wgpu"
            )))]
            _ => None,
        }
    }

    /// The devices that it finds on this machine.
    ///
    /// # Errors
    /// A backend that the program was built without, or whose driver is missing.
    pub fn devices(self) -> Result<Vec<Device>, DeviceError> {
        let found = self.device_type().ok_or(DeviceError::NotBuilt(self))?;
        quietly(|| Device::enumerate(found).into_vec())
            .map_err(|reason| DeviceError::NoDriver { backend: self, reason })
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A device by backend and number: `cpu`, `cuda`, `cuda:1`, `vulkan:0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceName {
    /// The backend.
    pub backend: Backend,
    /// The place among the devices that the backend finds.
    pub index: usize,
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            0 => write!(f, "{}", self.backend),
            index => write!(f, "{}:{index}", self.backend),
        }
    }
}

impl FromStr for DeviceName {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown(text.to_owned());
        let (name, index) = match text.split_once(':') {
            Some((name, index)) => (name, index.parse().map_err(|_| unknown())?),
            None => (text, 0),
        };
        let backend = Backend::ALL.into_iter().find(|backend| backend.name() == name);
        let backend = backend.ok_or_else(unknown)?;
        match (backend, index) {
            (Backend::Cpu, 1..) => Err(unknown()),
            _ => Ok(Self { backend, index }),
        }
    }
}

impl DeviceName {
    /// The device, after a first sum on it was right.
    ///
    /// # Errors
    /// A backend that the program was built without, no such device, or one that does not compute.
    pub fn open(self) -> Result<Device, DeviceError> {
        let mut devices = self.backend.devices()?;
        let count = devices.len();
        if self.index >= count {
            return Err(DeviceError::NotFound { name: self, count });
        }
        let device = devices.swap_remove(self.index);
        check(&device).map_err(|reason| DeviceError::Broken { name: self, reason })?;
        Ok(device)
    }
}

/// Makes sure that burn's default device computes: it puts states of optimizers there when it reads them, whatever device they
/// are for.
///
/// # Errors
/// A program that was built for a GPU, on a machine without one.
pub fn check_default() -> Result<(), DeviceError> {
    match quietly(Device::default) {
        Ok(device) => check(&device).map_err(DeviceError::NoDefault),
        Err(reason) => Err(DeviceError::NoDefault(reason)),
    }
}

/// Adds up on a device; the error is the reason.
fn check(device: &Device) -> Result<(), String> {
    let sum = quietly(|| Tensor::<1>::from_floats([1.0, 2.0, 4.0], device).sum().into_data())?;
    match sum.try_to_vec::<f32>() {
        Ok(sum) if sum == [7.0] => Ok(()),
        other => Err(format!("it adds up 1, 2 and 4 to {other:?}")),
    }
}

/// Backends of GPUs panic where a driver is missing. The panic becomes the reason, and is not printed.
fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let hook = take_hook();
    set_hook(Box::new(|_| ()));
    let result = catch_unwind(AssertUnwindSafe(work));
    set_hook(hook);
    result.map_err(|panic| said(&*panic))
}

/// The first line of what a panic says.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    let line = text.and_then(|text| text.lines().next());
    line.unwrap_or("it gives no reason").to_owned()
}

/// A device that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// A text that names no device.
    #[error(
        "`{0}` names no device\nhint: `cpu`, or `cuda`, `rocm`, `metal`, `vulkan` or `wgpu`, with a number behind a colon for another than the first one, as in `cuda:1`"
    )]
    Unknown(String),
    /// A backend that the program was built without.
    #[error(
        "this program was built without `{0}`\nhint: build it with `cargo build --release --locked -p magiclens-cli --features {0}`, see docs/devices.md; `--device cpu` works always"
    )]
    NotBuilt(Backend),
    /// A backend that cannot look for devices.
    #[error(
        "`{backend}` finds no driver on this machine: {reason}\nhint: install the driver of the GPU, see docs/devices.md, or use `--device cpu`"
    )]
    NoDriver {
        /// The backend.
        backend: Backend,
        /// What it says.
        reason: String,
    },
    /// Fewer devices than the number asks for.
    #[error(
        "there is no device `{name}`: the backend finds {count} on this machine\nhint: numbers begin at 0; `--device cpu` works always"
    )]
    NotFound {
        /// The device.
        name: DeviceName,
        /// Devices of the backend.
        count: usize,
    },
    /// A device that does not compute.
    #[error("`{name}` does not compute: {reason}\nhint: look after its driver, or use `--device cpu`")]
    Broken {
        /// The device.
        name: DeviceName,
        /// The problem.
        reason: String,
    },
    /// A default device that is not there.
    #[error(
        "burn's default device does not compute: {0}\nhint: this program was built for a GPU; where there is none, set `BURN_DEVICE=flex`"
    )]
    NoDefault(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for backend in Backend::ALL {
            for index in [0, 3] {
                let name = DeviceName { backend, index };
                let read = name.to_string().parse::<DeviceName>();
                match (backend, index) {
                    (Backend::Cpu, 3) => assert!(matches!(read, Err(DeviceError::Unknown(_)))),
                    _ => assert_eq!(read.unwrap(), name),
                }
            }
        }
        for text in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "CUDA"] {
            let told = text.parse::<DeviceName>().unwrap_err().to_string();
            assert!(told.contains(&format!("`{text}`")) && told.contains("hint: "), "{told}");
        }
    }

    #[test]
    fn the_cpu_is_there_and_a_panic_is_a_reason() {
        assert!(DeviceName::default().open().unwrap() == Device::flex());
        let reason = quietly(|| panic!("no driver\nat all")).unwrap_err();
        assert_eq!(reason, "no driver");
        assert_eq!(quietly(|| 7), Ok(7));
    }
}
