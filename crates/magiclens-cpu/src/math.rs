//! Functions of one number, written so that the compiler makes vectors of them.

/// `a * b + c`, in one rounding where that is an instruction.
#[inline(always)]
pub(crate) fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// The exponential function to about 1e-7 of its value; arguments are cut to -87..=88.
/// Source: Cephes `expf.c`: powers of two, and a polynomial of degree 5 around zero.
#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f32) -> f32 {
    /// Adding it rounds to a whole number, which then lies in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = mul_add::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let power = shifted - ROUND;
    let x = mul_add::<FMA>(power, -LN_2_HIGH, x);
    let x = mul_add::<FMA>(power, -LN_2_LOW, x);
    let mut sum = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        sum = mul_add::<FMA>(sum, x, coefficient);
    }
    let value = mul_add::<FMA>(sum, x * x, x) + 1.0;
    value * f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()))
}

/// The error function to 6e-7. Source: Abramowitz and Stegun, 7.1.26.
#[inline(always)]
pub(crate) fn erf<const FMA: bool>(x: f32) -> f32 {
    let size = x.abs();
    let t = 1.0 / mul_add::<FMA>(0.327_591_1, size, 1.0);
    let mut sum = 1.061_405_4;
    for coefficient in [-1.453_152, 1.421_413_8, -0.284_496_72, 0.254_829_6] {
        sum = mul_add::<FMA>(sum, t, coefficient);
    }
    let value = 1.0 - sum * t * exp::<FMA>(-size * size);
    value.copysign(x)
}

/// The hyperbolic tangent to 2e-7.
#[inline(always)]
pub(crate) fn tanh<const FMA: bool>(x: f32) -> f32 {
    let size = x.abs();
    let value = 1.0 - 2.0 / (exp::<FMA>(2.0 * size) + 1.0);
    value.copysign(x)
}

/// A function between two layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// None.
    #[default]
    Identity,
    /// `x * sigmoid(1.702 x)`
    QuickGelu,
    /// `x / 2 * (1 + erf(x / sqrt(2)))`
    Gelu,
    /// The same by `tanh(sqrt(2 / pi) * (x + 0.044715 x^3))`.
    GeluTanh,
    /// `max(x, 0)`
    Relu,
    /// `min(max(x, 0), 6)`
    Relu6,
}

impl Activation {
    /// Applies it to a row. The choice stands outside of the loop.
    #[inline(always)]
    pub(crate) fn apply<const FMA: bool>(self, row: &mut [f32]) {
        #[inline(always)]
        fn each(row: &mut [f32], function: impl Fn(f32) -> f32) {
            row.iter_mut().for_each(|x| *x = function(*x));
        }
        match self {
            Self::Identity => {}
            Self::QuickGelu => each(row, |x| x / (1.0 + exp::<FMA>(-1.702 * x))),
            Self::Gelu => each(row, |x| {
                0.5 * x * (1.0 + erf::<FMA>(x * std::f32::consts::FRAC_1_SQRT_2))
            }),
            Self::GeluTanh => each(row, |x| {
                let inner = 0.797_884_6 * mul_add::<FMA>(0.044_715 * x * x, x, x);
                0.5 * x * (1.0 + tanh::<FMA>(inner))
            }),
            Self::Relu => each(row, |x| if x < 0.0 { 0.0 } else { x }),
            Self::Relu6 => each(row, |x| {
                let x = if x < 0.0 { 0.0 } else { x };
                if x > 6.0 { 6.0 } else { x }
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest error of `found` against `expected` over a range.
    fn worst(range: std::ops::Range<f64>, found: impl Fn(f32) -> f32, expected: impl Fn(f64) -> f64) -> f64 {
        let step = (range.end - range.start) / 20_000.0;
        let at = |number: u32| {
            let x = (range.start + f64::from(number) * step) as f32;
            let expected = expected(f64::from(x));
            (f64::from(found(x)) - expected).abs() / expected.abs().max(1.0)
        };
        (0..20_000).map(at).fold(0.0, f64::max)
    }

    /// The error function by its Taylor series, for small arguments.
    fn series_erf(x: f64) -> f64 {
        let (mut sum, mut term) = (0.0, x);
        for n in 0..120 {
            sum += term / (2.0 * f64::from(n) + 1.0);
            term *= -x * x / (f64::from(n) + 1.0);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    }

    #[test]
    fn functions_are_close_to_their_definitions() {
        assert!(worst(-80.0..0.0, exp::<true>, f64::exp) < 2e-7);
        assert!(worst(0.0..87.0, exp::<true>, f64::exp) < 2e-7);
        assert!(worst(-80.0..80.0, exp::<false>, f64::exp) < 3e-7);
        assert!(worst(-20.0..20.0, tanh::<true>, f64::tanh) < 2e-7);
        let error = worst(-4.0..4.0, erf::<true>, series_erf);
        assert!(error < 6e-7, "{error}");
        assert_eq!((erf::<true>(9.0), erf::<true>(-9.0)), (1.0, -1.0));
        assert_eq!((exp::<true>(0.0), exp::<true>(-1e9) < 1e-37), (1.0, true));
    }

    #[test]
    fn activations_by_hand() {
        let of = |activation: Activation, x: f32| {
            let mut row = [x];
            activation.apply::<true>(&mut row);
            row[0]
        };
        assert_eq!((of(Activation::Relu, -2.0), of(Activation::Relu6, 9.0)), (0.0, 6.0));
        assert_eq!(of(Activation::Identity, -2.0), -2.0);
        assert!((of(Activation::QuickGelu, 1.0) - 0.845_795_77).abs() < 1e-6);
        assert!((of(Activation::Gelu, 1.0) - 0.841_344_8).abs() < 1e-6);
        assert!((of(Activation::GeluTanh, 1.0) - 0.841_192).abs() < 1e-6);
    }
}
