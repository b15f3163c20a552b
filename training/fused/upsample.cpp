// Bilinear up-sampling to twice the size, a row at a time, and its gradient.
#include "kernels.h"

void upsample_row(const bf* a, const bf* b, int C, int W, bf* y) {
    F near = _mm512_set1_ps(.75f), far = _mm512_set1_ps(.25f);
    for (int c = 0; c < C; c += 32) {
        bf* o = y + c;
        F pe = near, po = near;
        for (int w = 0; w < W; w++) {
            I va = load(a + (long)w * C + c), vb = load(b + (long)w * C + c);
            F e = fma(even(va), near, _mm512_mul_ps(even(vb), far));
            F q = fma(odd(va), near, _mm512_mul_ps(odd(vb), far));
            if (w) {
                store(o, join(fma(pe, near, _mm512_mul_ps(e, far)), fma(po, near, _mm512_mul_ps(q, far))));
                o += C;
                store(o, join(fma(e, near, _mm512_mul_ps(pe, far)), fma(q, near, _mm512_mul_ps(po, far))));
            } else
                store(o, join(e, q));
            o += C;
            pe = e, po = q;
        }
        store(o, join(pe, po));
    }
}

void upsample_row_backward(const bf* r0, const bf* r1, const bf* r2, const bf* r3, int C, int W, bf* gx) {
    F near = _mm512_set1_ps(.75f), far = _mm512_set1_ps(.25f);
    for (int c = 0; c < C; c += 32) {
        bf* o = gx + c;
        auto column = [&](int w, F& e, F& q) {
            long i = (long)w * C + c;
            I a = load(r0 + i), b = load(r1 + i), d = load(r2 + i), k = load(r3 + i);
            e = fma(_mm512_add_ps(even(b), even(d)), near, _mm512_mul_ps(_mm512_add_ps(even(a), even(k)), far));
            q = fma(_mm512_add_ps(odd(b), odd(d)), near, _mm512_mul_ps(_mm512_add_ps(odd(a), odd(k)), far));
        };
        F e0, q0, e1, q1, e2, q2, e3, q3;
        column(0, e1, q1);
        e0 = e1, q0 = q1;
        column(1, e2, q2);
        for (int w = 0; w < W; w++, o += C) {
            if (w < W - 1)
                column(2 * w + 2, e3, q3);
            else
                e3 = e2, q3 = q2;
            store(o, join(fma(_mm512_add_ps(e1, e2), near, _mm512_mul_ps(_mm512_add_ps(e0, e3), far)),
                          fma(_mm512_add_ps(q1, q2), near, _mm512_mul_ps(_mm512_add_ps(q0, q3), far))));
            e0 = e2, q0 = q2, e1 = e3, q1 = q3;
            if (w < W - 1) column(2 * w + 3, e2, q2);
        }
    }
}
