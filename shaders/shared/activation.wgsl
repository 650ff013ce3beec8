// Activations, for the kernels that apply one (src/math/activation.rs).

override ACTIVATION: u32;
override LEAKY_SLOPE: f32;

// a(z) and a'(z), with the numbers of the CPU engine.
fn activate(z: f32) -> vec2f {
    // By its bits, because a driver may take comparisons as if NaN did not exist; and a NaN must stay one.
    if (bitcast<u32>(z) & 0x7fffffffu) > 0x7f800000u { return vec2f(z, z); }
    switch ACTIVATION {
        case TANH: {
            let value = hyperbolic_tangent(z);
            return vec2f(value, 1.0 - value * value);
        }
        case RELU: { return select(vec2f(0.0, 0.0), vec2f(z, 1.0), z > 0.0); }
        case LEAKY_RELU: { return select(vec2f(LEAKY_SLOPE * z, LEAKY_SLOPE), vec2f(z, 1.0), z > 0.0); }
        default: {
            let distribution = 0.5 * (1.0 + error_function(z * 0.70710678118654752));
            let density = 0.39894228040143268 * exp(-0.5 * z * z);
            return vec2f(z * distribution, distribution + z * density);
        }
    }
}

// Not the built-in tanh: drivers compute it from exp, some without a clamp, and lose every digit near 0.
// S. L. Moshier, Cephes mathematical library, tanhf: relative error below 1.3e-7.
fn hyperbolic_tangent(z: f32) -> f32 {
    let size = abs(z);
    if size < 0.625 {
        let s = z * z;
        let series = (((-5.70498872745e-3 * s + 2.06390887954e-2) * s - 5.37397155531e-2) * s + 1.33314422036e-1) * s
            - 3.33332819422e-1;
        return series * s * z + z;
    }
    // Beyond 10 the result is 1 in f32; what an exponential that overflows gives is for the driver to say.
    return sign(z) * (1.0 - 2.0 / (exp(2.0 * min(size, 10.0)) + 1.0));
}

// Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: absolute error below 1.5e-7.
fn error_function(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.3275911 * abs(x));
    let series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
    return sign(x) * (1.0 - series * exp(-x * x));
}
