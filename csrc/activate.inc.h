/* activate.inc.h   Activations on one vector: y = f(x), and dx from dy and what forward saved.
 * `alpha` is the slope of leaky_relu and the scale of elu. */
#define SQRT_HALF ((REAL)0.70710678118654752)
#define SQRT_2_OVER_PI ((REAL)0.79788456080286536)
#define INV_SQRT_2PI ((REAL)0.39894228040143268)
#define GELU_CUBIC ((REAL)0.044715) /* Hendrycks and Gimpel 2016, section 2 */

/* tanh of the inner polynomial of gelu's approximation. */
QUERNEL_INLINE vec FN(gelu_inner)(vec x) { return FN(vtanh)(SQRT_2_OVER_PI * (x + GELU_CUBIC * x * x * x)); }

QUERNEL_INLINE vec FN(softplus)(vec x) /* max(x, 0) + log(1 + e^-|x|) never overflows */
{
    return FN(select)(x > 0, x, FN(splat)(0)) + FN(vlog1p)(FN(vexp)(-FN(vabs)(x)));
}

/* e^x - 1 for x <= 0, without cancellation near 0: tanh(x/2) = (e^x - 1) / (e^x + 1). */
QUERNEL_INLINE vec FN(expm1_negative)(vec x)
{
    const vec t = FN(vtanh)(x * (REAL)0.5);
    return 2 * t / (1 - t);
}

QUERNEL_INLINE vec FN(activate)(vec x, int kind, REAL alpha)
{
    const vec zero = {0};
    switch (kind) {
    case ACT_RELU: return FN(vmax)(zero, x); /* NaN stays */
    case ACT_LEAKY_RELU: return FN(select)(x < 0, alpha * x, x);
    case ACT_SIGMOID: return FN(vsigmoid)(x);
    case ACT_TANH: return FN(vtanh)(x);
    case ACT_SILU: return x / (1 + FN(vexp)(-x));
    case ACT_GELU: return (REAL)0.5 * x * (1 + FN(verf)(x * SQRT_HALF));
    case ACT_GELU_TANH: return (REAL)0.5 * x * (1 + FN(gelu_inner)(x));
    case ACT_SOFTPLUS: return FN(softplus)(x);
    case ACT_ELU: return FN(select)(x < 0, alpha * FN(expm1_negative)(x), x);
    default: return x;
    }
}

/* dx; `s` is the output y for linear, relu, leaky_relu, sigmoid, tanh, softplus and elu, the input x for the others. */
QUERNEL_INLINE vec FN(activate_backward)(vec dy, vec s, int kind, REAL alpha)
{
    const vec zero = {0};
    switch (kind) {
    case ACT_RELU: return FN(select)(s > 0, dy, zero);
    case ACT_LEAKY_RELU: return FN(select)(s > 0, dy, alpha * dy);
    case ACT_SIGMOID: return dy * s * (1 - s);
    case ACT_TANH: return dy * (1 - s * s);
    case ACT_SILU: {
        const vec g = FN(vsigmoid)(s);
        return dy * (g * (1 + s * (1 - g)));
    }
    case ACT_GELU: {
        const vec cdf = (REAL)0.5 * (1 + FN(verf)(s * SQRT_HALF));
        return dy * (cdf + s * INV_SQRT_2PI * FN(vexp)((REAL)-0.5 * s * s));
    }
    case ACT_GELU_TANH: {
        const vec t = FN(gelu_inner)(s);
        const vec slope = SQRT_2_OVER_PI * (1 + 3 * GELU_CUBIC * s * s);
        return dy * ((REAL)0.5 * (1 + t) + (REAL)0.5 * s * (1 - t * t) * slope);
    }
    case ACT_SOFTPLUS: return dy * -FN(expm1_negative)(-s); /* 1 - e^-y */
    case ACT_ELU: return FN(select)(s > 0, dy, dy * (s + alpha));
    default: return dy;
    }
}

#undef SQRT_HALF
#undef SQRT_2_OVER_PI
#undef INV_SQRT_2PI
#undef GELU_CUBIC
