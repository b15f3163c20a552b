// The first layer, of one channel, with its ReLU; and the last, to logits.
#include "kernels.h"

// y = relu(3x3 convolution of x (N, H, W) float32, one channel, + bias): (N, H, W, C)
EXPORT void stem_forward(const float* x, const float* w, const float* bias, int N, int H, int W, int C, bf* y) {
    float* wt = memory_of<float>(WEIGHTS, C * 9);
    pack_depthwise(w, C, false, wt);
    float* pad = memory_of<float>(SUMS, 3 * (W + 2));
    F zero = _mm512_setzero_ps();
    for (long f = 0; f < (long)N * H; f++) {
        int h = f % H;
        memset(pad, 0, 12 * (W + 2));
        for (int i = 0; i < 3; i++)
            if (h + i >= 1 && h + i <= H) memcpy(pad + i * (W + 2) + 1, x + (f + i - 1) * W, 4 * W);
        for (int c = 0; c < C; c += 32) {
            F k[18];
            alignas(64) float b[32];
            for (int i = 0; i < 18; i++) k[i] = ld(wt + c * 9 + 16 * i);
            for (int i = 0; i < 32; i++) b[eo(i)] = bias[c + i];
            F be = ld(b), bo = ld(b + 16);
            for (int i = 0; i < W; i++) {
                F e = be, o = bo;
                for (int r = 0; r < 3; r++)
                    for (int j = 0; j < 3; j++) {
                        F v = _mm512_set1_ps(pad[r * (W + 2) + i + j]);
                        e = fma(v, k[(r * 3 + j) * 2], e), o = fma(v, k[(r * 3 + j) * 2 + 1], o);
                    }
                store(y + (f * W + i) * C + c, join(_mm512_max_ps(zero, e), _mm512_max_ps(zero, o)));
            }
        }
    }
}
EXPORT void stem_backward(const float* x, const bf* y, const bf* g, int N, int H, int W, int C, float* gw,
                          float* gbias) {
    float* acc = memory_of<float>(KERNEL_SUMS, C * 10);
    memset(acc, 0, C * 40);
    float* pad = memory_of<float>(SUMS, 3 * (W + 2));
    for (long f = 0; f < (long)N * H; f++) {
        int h = f % H;
        memset(pad, 0, 12 * (W + 2));
        for (int i = 0; i < 3; i++)
            if (h + i >= 1 && h + i <= H) memcpy(pad + i * (W + 2) + 1, x + (f + i - 1) * W, 4 * W);
        for (int c = 0; c < C; c += 32) {
            F k[20];
            for (int i = 0; i < 20; i++) k[i] = ld(acc + c * 10 + 16 * i);
            for (int i = 0; i < W; i++) {
                long at = (f * W + i) * C + c;
                __mmask32 open = _mm512_cmpgt_epi16_mask(load(y + at), _mm512_setzero_si512());
                I v = _mm512_maskz_mov_epi16(open, load(g + at));
                F e = even(v), o = odd(v);
                for (int r = 0; r < 3; r++)
                    for (int j = 0; j < 3; j++) {
                        F s = _mm512_set1_ps(pad[r * (W + 2) + i + j]);
                        int n = (r * 3 + j) * 2;
                        k[n] = fma(s, e, k[n]), k[n + 1] = fma(s, o, k[n + 1]);
                    }
                k[18] = _mm512_add_ps(k[18], e), k[19] = _mm512_add_ps(k[19], o);
            }
            for (int i = 0; i < 20; i++) st(acc + c * 10 + 16 * i, k[i]);
        }
    }
    for (int c = 0; c < C; c++) {
        const float* a = acc + (c / 32) * 320 + (eo(c) & 31);
        for (int i = 0; i < 9; i++) gw[c * 9 + i] = a[i * 32];
        gbias[c] = a[288];
    }
}

// logits (N, K, pixels) float32 of x (N, pixels, C); K up to 16
EXPORT void head_forward(const bf* x, int C, const float* w, const float* bias, int N, long pixels, int K, float* y) {
    const bf* right = pack_right(w, C, 16, 1, C, K);
    alignas(64) float s[256];
    I lane = _mm512_mullo_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                                _mm512_set1_epi32(16));
    configure_tiles();
    for (int n = 0; n < N; n++)
        for (long i = 0; i < pixels; i += 16) {
            multiply_to_logits(x + ((long)n * pixels + i) * C, C, right, s);
            for (int k = 0; k < K; k++)
                st(y + ((long)n * K + k) * pixels + i,
                   _mm512_add_ps(_mm512_i32gather_ps(lane, s + k, 4), _mm512_set1_ps(bias[k])));
        }
    _tile_release();
}

template <int K>
static void head_back(const bf* x, int C, const float* w, const float* g, int N, long pixels, bf* gx, float* gw,
                      float* gbias) {
    for (int k = 0; k < K; k++) {
        double s = 0;
        for (int n = 0; n < N; n++) {
            F a = _mm512_setzero_ps();
            for (long i = 0; i < pixels; i += 16) a = _mm512_add_ps(a, ld(g + ((long)n * K + k) * pixels + i));
            s += _mm512_reduce_add_ps(a);
        }
        gbias[k] = (float)s;
    }
    for (int c = 0; c < C; c += 32) {
        alignas(64) float t[32];
        F we[K], wo[K], ae[K], ao[K];
        double total[K][32] = {};
        for (int k = 0; k < K; k++) {
            for (int i = 0; i < 32; i++) t[eo(i)] = w[k * C + c + i];
            we[k] = ld(t), wo[k] = ld(t + 16);
        }
        for (int n = 0; n < N; n++) {
            for (int k = 0; k < K; k++) ae[k] = ao[k] = _mm512_setzero_ps();
            for (long i = 0; i < pixels; i++) {
                long at = ((long)n * pixels + i) * C + c;
                I v = load(x + at);
                F e = even(v), o = odd(v), re = _mm512_setzero_ps(), ro = re;
                for (int k = 0; k < K; k++) {
                    F s = _mm512_set1_ps(g[((long)n * K + k) * pixels + i]);
                    ae[k] = fma(s, e, ae[k]), ao[k] = fma(s, o, ao[k]);
                    re = fma(s, we[k], re), ro = fma(s, wo[k], ro);
                }
                store(gx + at, join(re, ro));
            }
            for (int k = 0; k < K; k++) {
                st(t, ae[k]), st(t + 16, ao[k]);
                for (int i = 0; i < 32; i++) total[k][i] += t[eo(i)];
            }
        }
        for (int k = 0; k < K; k++)
            for (int i = 0; i < 32; i++) gw[k * C + c + i] = (float)total[k][i];
    }
}

EXPORT void head_backward(const bf* x, int C, const float* w, const float* g, int N, long pixels, int K, bf* gx,
                          float* gw, float* gbias) {
    switch (K) {
        case 2: head_back<2>(x, C, w, g, N, pixels, gx, gw, gbias); break;
        case 3: head_back<3>(x, C, w, g, N, pixels, gx, gw, gbias); break;
        case 4: head_back<4>(x, C, w, g, N, pixels, gx, gw, gbias); break;
        case 5: head_back<5>(x, C, w, g, N, pixels, gx, gw, gbias); break;
    }
}
