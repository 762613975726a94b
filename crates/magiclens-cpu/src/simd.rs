//! The instructions that the CPU has, found at run time.

use std::sync::LazyLock;

/// Names the instructions that may be used, instead of all that the CPU has: `avx512`, `avx2` or `portable`.
const VARIABLE: &str = "MAGICLENS_CPU";

/// Width of vectors, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    /// Plain Rust, of which the compiler makes NEON on ARM and SSE2 on x86-64.
    Portable,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
}

/// The instructions that products of matrices may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simd {
    pub(crate) width: Width,
    /// AVX-512 VNNI: sums of four products of bytes.
    pub(crate) vnni: bool,
    /// AVX-512 BF16: sums of two products of bf16.
    pub(crate) bf16: bool,
}

impl Simd {
    /// Plain Rust.
    pub const PORTABLE: Self = Self {
        width: Width::Portable,
        vnni: false,
        bf16: false,
    };

    /// All that this CPU has, or less where `MAGICLENS_CPU` says so; a value that names nothing counts as if it were not there,
    /// which [`Simd::check_variable`] tells before.
    pub fn get() -> Self {
        static FOUND: LazyLock<Simd> = LazyLock::new(|| Simd::detect(widest().unwrap_or(Width::Avx512)));
        *FOUND
    }

    /// Refuses a value of `MAGICLENS_CPU` that names no instructions.
    ///
    /// # Errors
    /// The value.
    pub fn check_variable() -> Result<(), UnknownWidth> {
        widest().map(drop)
    }

    /// The instructions of this CPU, with vectors of at most this width.
    pub fn detect(most: Width) -> Self {
        let has = detected();
        let width = has.width.min(most);
        let wide = width == Width::Avx512;
        Self {
            width,
            vnni: has.vnni && wide,
            bf16: has.bf16 && wide,
        }
    }

    /// The width of vectors.
    pub fn width(&self) -> Width {
        self.width
    }
}

/// A value of `MAGICLENS_CPU` that names no instructions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{VARIABLE}` is `{0}`; it may be `avx512`, `avx2` or `portable`")]
pub struct UnknownWidth(String);

fn widest() -> Result<Width, UnknownWidth> {
    match std::env::var_os(VARIABLE).map(|value| value.to_string_lossy().into_owned()) {
        None => Ok(Width::Avx512),
        Some(value) => match value.as_str() {
            "" | "avx512" => Ok(Width::Avx512),
            "avx2" => Ok(Width::Avx2),
            "portable" => Ok(Width::Portable),
            _ => Err(UnknownWidth(value)),
        },
    }
}

impl std::fmt::Display for Simd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.width {
            Width::Portable => "portable",
            Width::Avx2 => "AVX2",
            Width::Avx512 => "AVX-512",
        })?;
        for (has, name) in [(self.bf16, "BF16"), (self.vnni, "VNNI")] {
            if has {
                write!(f, " + {name}")?;
            }
        }
        Ok(())
    }
}

#[cfg(target_arch = "x86_64")]
fn detected() -> Simd {
    let wide = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    let half = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    Simd {
        width: match (wide && half, half) {
            (true, _) => Width::Avx512,
            (_, true) => Width::Avx2,
            _ => Width::Portable,
        },
        vnni: is_x86_feature_detected!("avx512vnni"),
        bf16: is_x86_feature_detected!("avx512bf16"),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detected() -> Simd {
    Simd::PORTABLE
}

/// Compiles one function for every width, and calls the one that fits. Inside, `FMA` says whether a fused multiplication
/// is an instruction.
macro_rules! vectorized {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        $vis fn $name(simd: $crate::simd::Simd, $($arg: $type),*) {
            #[inline(always)]
            fn body<const FMA: bool>($($arg: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($arg: $type),*) {
                body::<true>($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $type),*) {
                body::<true>($($arg),*)
            }

            match simd.width {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: a `Simd` of this width is made only where the CPU has these instructions.
                $crate::simd::Width::Avx512 => unsafe { avx512($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                $crate::simd::Width::Avx2 => unsafe { avx2($($arg),*) },
                _ => body::<{ cfg!(target_arch = "aarch64") }>($($arg),*),
            }
        }
    };
}

pub(crate) use vectorized;
