// 1x1 convolution, its gradients and the logits: products of bfloat16 matrices on AMX tiles.
#include "kernels.h"

// gcc does not know that a tile load reads memory
#define BARRIER __asm__ volatile("" ::: "memory")

struct TileConfig {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t columns[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
alignas(64) static TileConfig tile_config;
void configure_tiles() {
    BARRIER;
    _tile_loadconfig(&tile_config);
}

// in tiles of 32 x 16, k in pairs: [n / 16][k / 32][16][16][2]
const bf* pack_right(const float* w, int K, int N, long k_stride, long n_stride, int given) {
    bf* out = memory_of<bf>(RIGHT, (size_t)K * N);
    for (int n = 0; n < N; n++)
        for (int k = 0; k < K; k++)
            out[((size_t)(n / 16) * (K / 32) + k / 32) * 512 + (k % 32) / 2 * 32 + (n % 16) * 2 + (k & 1)] =
                round_bf(n < given ? w[k * k_stride + n * n_stride] : 0.f);
    return out;
}

// 32 x 32 sums + bias, rounded
template <bool WITH_SUMS>
static void finish(const float (*s)[32], bf* o, int N, const float* bias, float* sum, float* sq) {
    if (WITH_SUMS || bias) {
        F bl = bias ? ld(bias) : _mm512_setzero_ps(), bh = bias ? ld(bias + 16) : bl;
        F sl = _mm512_setzero_ps(), sh = sl, ql = sl, qh = sl;
        for (int i = 0; i < 32; i++) {
            F l = _mm512_add_ps(_mm512_load_ps(s[i]), bl), h = _mm512_add_ps(_mm512_load_ps(s[i] + 16), bh);
            if (WITH_SUMS) {
                sl = _mm512_add_ps(sl, l), sh = _mm512_add_ps(sh, h);
                ql = fma(l, l, ql), qh = fma(h, h, qh);
            }
            store(o + (size_t)i * N, (I)_mm512_cvtne2ps_pbh(h, l));
        }
        if (WITH_SUMS) {
            st(sum, _mm512_add_ps(ld(sum), sl)), st(sum + 16, _mm512_add_ps(ld(sum + 16), sh));
            st(sq, _mm512_add_ps(ld(sq), ql)), st(sq + 16, _mm512_add_ps(ld(sq + 16), qh));
        }
    } else
        for (int i = 0; i < 32; i++)
            store(o + (size_t)i * N, (I)_mm512_cvtne2ps_pbh(_mm512_load_ps(s[i] + 16), _mm512_load_ps(s[i])));
}

// The tiles of a block are computed before the block before it is written, so that neither waits for the other.
template <bool WITH_SUMS>
static void product(const bf* a, int K, const bf* b, int N, bf* out, int M, const float* bias, float* sum, float* sq) {
    alignas(64) float scratch[2][32][32];
    int turn = 0, bm = -1, bn = 0;
    BARRIER;
    for (int m = 0; m < M; m += 32)
        for (int n = 0; n < N; n += 32, turn ^= 1) {
            float(*s)[32] = scratch[turn];
            _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
            const bf *a0 = a + (size_t)m * K, *a1 = a0 + (size_t)16 * K;
            const bf *b0 = b + (size_t)(n / 16) * K * 16, *b1 = b0 + (size_t)K * 16;
            for (int k = 0; k < K; k += 32) {
                _tile_loadd(4, a0 + k, K * 2);
                _tile_loadd(6, b0 + k * 16, 64);
                _tile_dpbf16ps(0, 4, 6);
                _tile_loadd(7, b1 + k * 16, 64);
                _tile_dpbf16ps(1, 4, 7);
                _tile_loadd(5, a1 + k, K * 2);
                _tile_dpbf16ps(2, 5, 6);
                _tile_dpbf16ps(3, 5, 7);
            }
            _tile_stored(0, &s[0][0], 128); _tile_stored(1, &s[0][16], 128);
            _tile_stored(2, &s[16][0], 128); _tile_stored(3, &s[16][16], 128);
            if (bm >= 0)
                finish<WITH_SUMS>(scratch[turn ^ 1], out + (size_t)bm * N + bn, N, bias ? bias + bn : nullptr, sum + bn,
                                  sq + bn);
            bm = m, bn = n;
        }
    finish<WITH_SUMS>(scratch[turn ^ 1], out + (size_t)bm * N + bn, N, bias ? bias + bn : nullptr, sum + bn, sq + bn);
}
void multiply(const bf* a, int K, const bf* b, int N, bf* out, int M, const float* bias) {
    product<false>(a, K, b, N, out, M, bias, nullptr, nullptr);
}
void multiply_with_sums(const bf* a, int K, const bf* b, int N, bf* out, int M, const float* bias, float* sum,
                        float* square) {
    product<true>(a, K, b, N, out, M, bias, sum, square);
}
void multiply_to_logits(const bf* x, int C, const bf* right, float* s) {
    BARRIER;
    _tile_zero(0);
    for (int k = 0; k < C; k += 32) {
        _tile_loadd(4, x + k, C * 2);
        _tile_loadd(6, right + k * 16, 64);
        _tile_dpbf16ps(0, 4, 6);
    }
    _tile_stored(0, s, 64);
    BARRIER;
}

// Pixels in pairs: (P, C) -> [P / 32][C / 32][2][16 pairs][16 channels][2]. Of 32 channels the first tile holds
// 0-3, 8-11, 16-19, 24-27, the second the others: the order that unpacking gives.
static inline int unpacked(int half, int j) { return (j / 4) * 8 + half * 4 + j % 4; }
void pack_pairs(const bf* x, int C, int P, bf* out) {
    for (int p = 0; p < P; p += 32)
        for (int c = 0; c < C; c += 32, out += 1024)
            for (int r = 0; r < 16; r++) {
                I a = load(x + (size_t)(p + 2 * r) * C + c), b = load(x + (size_t)(p + 2 * r + 1) * C + c);
                _mm512_store_si512(out + r * 32, _mm512_unpacklo_epi16(a, b));
                _mm512_store_si512(out + 512 + r * 32, _mm512_unpackhi_epi16(a, b));
            }
}
static inline void transpose16(I* r) {
    I t[16];
    for (int i = 0; i < 16; i += 2)
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]), t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]), r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]), r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88), t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88), r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}
// the same transposed: [P / 32][C / 32][2][16 channels][32 pixels]
void pack_transposed(const bf* x, int C, int P, bf* out) {
    for (int p = 0; p < P; p += 32)
        for (int c = 0; c < C; c += 32, out += 1024) {
            I lo[16], hi[16];
            for (int r = 0; r < 16; r++) {
                I a = load(x + (size_t)(p + 2 * r) * C + c), b = load(x + (size_t)(p + 2 * r + 1) * C + c);
                lo[r] = _mm512_unpacklo_epi16(a, b), hi[r] = _mm512_unpackhi_epi16(a, b);
            }
            transpose16(lo);
            for (int r = 0; r < 16; r++) _mm512_store_si512(out + r * 32, lo[r]);
            transpose16(hi);
            for (int r = 0; r < 16; r++) _mm512_store_si512(out + 512 + r * 32, hi[r]);
        }
}
// acc [A / 32][B / 32][4][16][16] += transposed (A, P) times pairs (P, B)
void multiply_over_pixels(const bf* t, int A, const bf* v, int B, int P, float* acc) {
    BARRIER;
    for (int a = 0; a < A / 32; a++)
        for (int b = 0; b < B / 32; b++, acc += 1024) {
            _tile_loadd(0, acc, 64); _tile_loadd(1, acc + 256, 64);
            _tile_loadd(2, acc + 512, 64); _tile_loadd(3, acc + 768, 64);
            for (int p = 0; p < P / 32; p++) {
                const bf *ta = t + ((size_t)p * (A / 32) + a) * 1024, *vb = v + ((size_t)p * (B / 32) + b) * 1024;
                _tile_loadd(4, ta, 64);
                _tile_loadd(6, vb, 64);
                _tile_loadd(7, vb + 512, 64);
                _tile_loadd(5, ta + 512, 64);
                _tile_dpbf16ps(0, 4, 6);
                _tile_dpbf16ps(1, 4, 7);
                _tile_dpbf16ps(2, 5, 6);
                _tile_dpbf16ps(3, 5, 7);
            }
            _tile_stored(0, acc, 64); _tile_stored(1, acc + 256, 64);
            _tile_stored(2, acc + 512, 64); _tile_stored(3, acc + 768, 64);
        }
}
void unpack_weights(const float* acc, int A, int B, float* out) {
    for (int a = 0; a < A; a += 32)
        for (int b = 0; b < B; b += 32, acc += 1024)
            for (int i = 0; i < 2; i++)
                for (int j = 0; j < 2; j++)
                    for (int r = 0; r < 16; r++)
                        for (int c = 0; c < 16; c++)
                            out[(size_t)(a + unpacked(i, r)) * B + b + unpacked(j, c)] =
                                acc[(i * 2 + j) * 256 + r * 16 + c];
}
