// Pooling to the largest of 2x2, and its gradient.
#include "kernels.h"

// 2x2 maxima of what is not negative (bfloat16 then compares as integers)
EXPORT void pool_forward(const bf* x, int C, long rows_out, int Wout, bf* y) {
    for (long f = 0; f < rows_out; f++)
        for (int w = 0; w < Wout; w++) {
            const bf *a = x + ((2 * f) * 2 * Wout + 2 * w) * C, *b = a + (long)2 * Wout * C;
            bf* o = y + (f * Wout + w) * C;
            for (int c = 0; c < C; c += 32)
                store(o + c, _mm512_max_epi16(_mm512_max_epi16(load(a + c), load(a + C + c)),
                                              _mm512_max_epi16(load(b + c), load(b + C + c))));
        }
}
// gx = gskip + what comes back through the pooling: to the first of equal maxima
EXPORT void pool_backward(const bf* x, const bf* y, const bf* g, const bf* gskip, int C, long rows_out, int Wout,
                          bf* gx) {
    for (long f = 0; f < rows_out; f++)
        for (int w = 0; w < Wout; w++) {
            long at[4];
            at[0] = ((2 * f) * 2 * Wout + 2 * w) * C, at[1] = at[0] + C;
            at[2] = at[0] + (long)2 * Wout * C, at[3] = at[2] + C;
            long o = (f * Wout + w) * C;
            for (int c = 0; c < C; c += 32) {
                I top = load(y + o + c), gy = load(g + o + c);
                __mmask32 free = ~0u;
                for (int i = 0; i < 4; i++) {
                    __mmask32 m = _mm512_mask_cmpeq_epi16_mask(free, load(x + at[i] + c), top);
                    free &= ~m;
                    I v = _mm512_maskz_mov_epi16(m, gy), s = load(gskip + at[i] + c);
                    store(gx + at[i] + c, join(_mm512_add_ps(even(v), even(s)), _mm512_add_ps(odd(v), odd(s))));
                }
            }
        }
}
