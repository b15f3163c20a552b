// 3x3 convolution in each channel, a row of 32 channels at a time, and its gradients.
#include "kernels.h"

alignas(64) static const bf ZEROS[32] = {};
const bf* zeros() { return ZEROS; }

void pack_depthwise(const float* w, int C, bool flip, float* out) {
    for (int c = 0; c < C; c++)
        for (int k = 0; k < 9; k++) out[(c / 32) * 288 + k * 32 + (eo(c) & 31)] = w[c * 9 + (flip ? 8 - k : k)];
}

void depthwise_row(Rows x, const float* w, bf* out, int stride, int W, int first, int last) {
    long ahead = 2L * W * x.s1, out_ahead = (long)W * stride;  // the rows that come next, into the second-level cache
    F k[18];
    for (int i = 0; i < 18; i++) k[i] = ld(w + 16 * i);
    F ae, ao, be = _mm512_setzero_ps(), bo = be, ce, co;
    ae = ao = be;
#define COLUMN                                                              \
    I v0 = load(x.r0), v1 = load(x.r1), v2 = load(x.r2);                    \
    PREFETCH(x.r1 + ahead);                                                 \
    x.r0 += x.s0, x.r1 += x.s1, x.r2 += x.s2;                               \
    F e = even(v0), o = odd(v0);                                            \
    ae = fma(e, k[4], ae), ao = fma(o, k[5], ao);                           \
    be = fma(e, k[2], be), bo = fma(o, k[3], bo);                           \
    ce = _mm512_mul_ps(e, k[0]), co = _mm512_mul_ps(o, k[1]);               \
    e = even(v1), o = odd(v1);                                              \
    ae = fma(e, k[10], ae), ao = fma(o, k[11], ao);                         \
    be = fma(e, k[8], be), bo = fma(o, k[9], bo);                           \
    ce = fma(e, k[6], ce), co = fma(o, k[7], co);                           \
    e = even(v2), o = odd(v2);                                              \
    ae = fma(e, k[16], ae), ao = fma(o, k[17], ao);                         \
    be = fma(e, k[14], be), bo = fma(o, k[15], bo);                         \
    ce = fma(e, k[12], ce), co = fma(o, k[13], co);
    int from = std::max(first - 1, 0);
    x.r0 += (long)from * x.s0, x.r1 += (long)from * x.s1, x.r2 += (long)from * x.s2;
    out += (long)first * stride;
    for (int i = from; i <= first; i++) {
        COLUMN
        ae = be, ao = bo, be = ce, bo = co;
    }
    for (int i = first + 1; i < std::min(last + 1, W); i++) {
        COLUMN
        store(out, join(ae, ao));
        PREFETCH_TO_WRITE(out + out_ahead);
        out += stride;
        ae = be, ao = bo, be = ce, bo = co;
    }
    if (last == W) store(out, join(ae, ao));
#undef COLUMN
}

void depthwise_weights_row(Rows x, const bf* g, int stride, float* gw, int W, int first,
                                  int last) {
    long ahead = 2L * W * x.s1;
    F k[18];
    for (int i = 0; i < 18; i++) k[i] = ld(gw + 16 * i);
    F zero = _mm512_setzero_ps();
    x.r0 += (long)first * x.s0, x.r1 += (long)first * x.s1, x.r2 += (long)first * x.s2;
    g += (long)first * stride;
    F pe = zero, po = zero, ce = even(load(g)), co = odd(load(g)), ne, no;
    if (first) pe = even(load(g - stride)), po = odd(load(g - stride));
    for (int i = first; i < last; i++) {
        if (i + 1 < W) {
            g += stride;
            I v = load(g);
            ne = even(v), no = odd(v);
        } else
            ne = no = zero;
        I v = load(x.r0);
        PREFETCH(x.r1 + ahead);
        F e = even(v), o = odd(v);
        k[0] = fma(e, ne, k[0]), k[1] = fma(o, no, k[1]);
        k[2] = fma(e, ce, k[2]), k[3] = fma(o, co, k[3]);
        k[4] = fma(e, pe, k[4]), k[5] = fma(o, po, k[5]);
        v = load(x.r1), e = even(v), o = odd(v);
        k[6] = fma(e, ne, k[6]), k[7] = fma(o, no, k[7]);
        k[8] = fma(e, ce, k[8]), k[9] = fma(o, co, k[9]);
        k[10] = fma(e, pe, k[10]), k[11] = fma(o, po, k[11]);
        v = load(x.r2), e = even(v), o = odd(v);
        k[12] = fma(e, ne, k[12]), k[13] = fma(o, no, k[13]);
        k[14] = fma(e, ce, k[14]), k[15] = fma(o, co, k[15]);
        k[16] = fma(e, pe, k[16]), k[17] = fma(o, po, k[17]);
        x.r0 += x.s0, x.r1 += x.s1, x.r2 += x.s2;
        pe = ce, po = co, ce = ne, co = no;
    }
    for (int i = 0; i < 18; i++) st(gw + 16 * i, k[i]);
}
