// Batch normalisation and ReLU. Constants (4, C): scale, shift, mean, 1 / standard deviation; eo order.
#include "kernels.h"

void norm_relu(const bf* p, int C, long pixels, const float* scale, const float* shift, bf* y) {
    F zero = _mm512_setzero_ps();
    for (long first = 0; first < pixels; first += 64) {
        long last = std::min(pixels, first + 64);
        for (int c = 0; c < C; c += 32) {
            F ke = ld(scale + c), ko = ld(scale + c + 16), se = ld(shift + c), so = ld(shift + c + 16);
            for (long i = first; i < last; i++) {
                I v = load(p + i * C + c);
                store(y + i * C + c, join(_mm512_max_ps(zero, fma(even(v), ke, se)),
                                          _mm512_max_ps(zero, fma(odd(v), ko, so))));
            }
        }
    }
}

void norm_sums(const bf* g, const bf* p, int C, long pixels, const float* scale, const float* shift,
               const float* mean, double* sums) {
    F zero = _mm512_setzero_ps();
    for (long first = 0; first < pixels; first += 64) {
        long last = std::min(pixels, first + 64);
        for (int c = 0; c < C; c += 32) {
            F ke = ld(scale + c), ko = ld(scale + c + 16), se = ld(shift + c), so = ld(shift + c + 16);
            F me = ld(mean + c), mo = ld(mean + c + 16), ae = zero, ao = zero, be = zero, bo = zero;
            for (long i = first; i < last; i++) {
                I v = load(p + i * C + c), w = load(g + i * C + c);
                F e = even(v), o = odd(v);
                F ge = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(fma(e, ke, se), zero, _CMP_GT_OQ), even(w));
                F go = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(fma(o, ko, so), zero, _CMP_GT_OQ), odd(w));
                ae = _mm512_add_ps(ae, ge), ao = _mm512_add_ps(ao, go);
                be = fma(ge, _mm512_sub_ps(e, me), be), bo = fma(go, _mm512_sub_ps(o, mo), bo);
            }
            alignas(64) float t[64];
            st(t, ae), st(t + 16, ao), st(t + 32, be), st(t + 48, bo);
            for (int i = 0; i < 32; i++) sums[c + i] += t[i], sums[C + c + i] += t[32 + i];
        }
    }
}

void norm_backward(const bf* g, const bf* p, int C, long pixels, const float* scale, const float* shift,
                   const float* a, const float* b, const float* k, bf* gp) {
    F zero = _mm512_setzero_ps();
    for (int c = 0; c < C; c += 32) {
        F ke = ld(scale + c), ko = ld(scale + c + 16), se = ld(shift + c), so = ld(shift + c + 16);
        F ae = ld(a + c), ao = ld(a + c + 16), be = ld(b + c), bo = ld(b + c + 16), ce = ld(k + c), co = ld(k + c + 16);
        for (long i = 0; i < pixels; i++) {
            I v = load(p + i * C + c), w = load(g + i * C + c);
            F e = even(v), o = odd(v), re = fma(e, be, ce), ro = fma(o, bo, co);
            re = _mm512_mask3_fmadd_ps(even(w), ae, re, _mm512_cmp_ps_mask(fma(e, ke, se), zero, _CMP_GT_OQ));
            ro = _mm512_mask3_fmadd_ps(odd(w), ao, ro, _mm512_cmp_ps_mask(fma(o, ko, so), zero, _CMP_GT_OQ));
            store(gp + i * C + c, join(re, ro));
        }
    }
}

void add_channels(const bf* g, int C, int pixels, float* sums) {
    for (int c = 0; c < C; c += 32) {
        F e = _mm512_setzero_ps(), o = e;
        for (int i = 0; i < pixels; i++) {
            I w = load(g + (size_t)i * C + c);
            e = _mm512_add_ps(e, even(w)), o = _mm512_add_ps(o, odd(w));
        }
        alignas(64) float s[32];
        st(s, e), st(s + 16, o);
        for (int i = 0; i < 32; i++) sums[c + i] += s[eo(i)];
    }
}

// The constants from the sums and sums of squares of what is normalised, and the running statistics after it
EXPORT void norm_constants(const double* sums, int C, long pixels, const float* gamma, const float* beta, double eps,
                           double momentum, float* running_mean, float* running_var, float* consts) {
    for (int c = 0; c < C; c++) {
        double mean = sums[c] / pixels, var = sums[C + c] / pixels - mean * mean;
        if (var < 0) var = 0;  // what is not a number stays so
        if (std::isnan(sums[c]) || std::isnan(sums[C + c])) var = NAN;
        double inv = 1 / std::sqrt(var + eps);
        running_mean[c] = (float)((1 - momentum) * running_mean[c] + momentum * mean);
        running_var[c] = (float)((1 - momentum) * running_var[c] + momentum * var * pixels / (pixels - 1));
        int i = eo(c);
        consts[i] = (float)(gamma[c] * inv);
        consts[C + i] = (float)(beta[c] - mean * gamma[c] * inv);
        consts[2 * C + i] = (float)mean;
        consts[3 * C + i] = (float)inv;
    }
}
EXPORT void norm_relu_forward(const bf* p, int C, long pixels, const float* consts, bf* y) {
    norm_relu(p, C, pixels, consts, consts + C, y);
}
EXPORT void norm_sums_backward(const bf* g, const bf* p, int C, long pixels, const float* consts, double* sums) {
    norm_sums(g, p, C, pixels, consts, consts + C, consts + 2 * C, sums);
}
// sums of norm_sums -> gradients of gamma, beta (channel order) and back (3, C): the a, b, k of norm_backward
EXPORT void norm_gradients(const double* sums, int C, long pixels, const float* consts, float* ggamma, float* gbeta,
                           float* back) {
    for (int c = 0; c < C; c++) {
        int i = eo(c);
        double a = consts[i], mean = consts[2 * C + i], inv = consts[3 * C + i];
        double m1 = sums[i] / pixels, m2 = sums[C + i] * inv / pixels;
        gbeta[c] = (float)sums[i];
        ggamma[c] = (float)(sums[C + i] * inv);
        back[i] = (float)a;
        back[C + i] = (float)(-a * m2 * inv);
        back[2 * C + i] = (float)(a * (m2 * inv * mean - m1));
    }
}
