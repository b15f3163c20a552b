// What the kernels of a training step of WP-UNet share: bfloat16, channels last (n, h, w, c), AVX-512, AMX, one core.
// Every count of channels is a multiple of 32, every count of pixels (n * h * w) too. Sums are float32 or float64.
//
// "eo" order: of 32 channels first the 16 even ones, then the 16 odd ones; two shifts make float32 of them.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

// What Python calls; all else stays inside the library
#define EXPORT extern "C" __attribute__((visibility("default")))

typedef uint16_t bf;
typedef __m512 F;
typedef __m512i I;

// ---------------------------------------------------------------- vectors

static inline F even(I v) { return _mm512_castsi512_ps(_mm512_slli_epi32(v, 16)); }
static inline F odd(I v) { return _mm512_castsi512_ps(_mm512_and_si512(v, _mm512_set1_epi32(0xffff0000))); }
static inline I load(const bf* p) { return _mm512_loadu_si512(p); }
static inline void store(bf* p, I v) { _mm512_storeu_si512(p, v); }
static inline I join(F e, F o) {  // of even and odd channels
    const I order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5,
                                     20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, (I)_mm512_cvtne2ps_pbh(o, e));
}
static inline F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
static inline F ld(const float* p) { return _mm512_loadu_ps(p); }
static inline void st(float* p, F v) { _mm512_storeu_ps(p, v); }
static inline int eo(int c) { return (c & ~31) + (c & 1) * 16 + (c & 31) / 2; }
static inline bf round_bf(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    if ((u & 0x7fffffff) > 0x7f800000) return (u >> 16) | 64;
    return (u + 0x7fff + ((u >> 16) & 1)) >> 16;
}

// ---------------------------------------------------------------- memory

// A piece of memory for each use, kept from call to call; each thread has its own. What is in it at first is undefined.
enum Use { MADE, DEPTHWISE, INPUT_GRADIENT, WEIGHTS, RIGHT, DEPTHWISE_GRADIENT, NORM_GRADIENT, TRANSPOSED, PAIRS,
           MATRIX_SUMS, KERNEL_SUMS, SUMS, USES };
void* memory(Use use, size_t bytes);
template <class T> T* memory_of(Use use, size_t n) { return (T*)memory(use, n * sizeof(T)); }

// Brings what lies some rows ahead into the second-level cache
#define PREFETCH(p) _mm_prefetch((const char*)(p), _MM_HINT_T1)
#define PREFETCH_TO_WRITE(p) __builtin_prefetch((p), 1, 2)

// ---------------------------------------------------------------- depthwise.cpp

struct Rows {  // rows above, at and below, each with its stride from pixel to pixel
    const bf *r0, *r1, *r2;
    int s0, s1, s2;
};
const bf* zeros();  // 32 of them: the row beyond the border
// the rows around row f of an array of rows, at channel c of C; H rows are a slice
template <class At> static Rows rows_of(At at, int C, int c, long f, int H) {
    int h = f % H;
    bool above = h > 0, below = h < H - 1;
    return {above ? at(f - 1) + c : zeros(), at(f) + c, below ? at(f + 1) + c : zeros(), above * C, C, below * C};
}
// w (c, 9) -> per 32 channels (9, 32) in eo order; flipped for the gradient
void pack_depthwise(const float* w, int C, bool flip, float* out);
// 32 channels of out[first..last) of a row of W pixels
void depthwise_row(Rows x, const float* w, bf* out, int stride, int W, int first, int last);
// gw (9, 32) += gradient of the weights from one row of g
void depthwise_weights_row(Rows x, const bf* g, int stride, float* gw, int W, int first, int last);

// ---------------------------------------------------------------- matrix.cpp

void configure_tiles();  // before the first of these; _tile_release() after the last
// the right-hand matrix b(k, n) = w[k * k_stride + n * n_stride], zero from n = given on, as multiply wants it
const bf* pack_right(const float* w, int K, int N, long k_stride, long n_stride, int given);
// out (M, N) = a (M, K) b + bias (or null)
void multiply(const bf* a, int K, const bf* b, int N, bf* out, int M, const float* bias);
// the same, and sum, square (N) += its sums and sums of squares over M
void multiply_with_sums(const bf* a, int K, const bf* b, int N, bf* out, int M, const float* bias, float* sum,
                        float* square);
// the logits of 16 pixels: s (16, 16) = x (16, C) right
void multiply_to_logits(const bf* x, int C, const bf* right, float* s);
// pixels in pairs, and the same transposed, as multiply_over_pixels wants them
void pack_pairs(const bf* x, int C, int P, bf* out);
void pack_transposed(const bf* x, int C, int P, bf* out);
// acc += transposed (A, P) times pairs (P, B); acc -> out (A, B)
void multiply_over_pixels(const bf* t, int A, const bf* v, int B, int P, float* acc);
void unpack_weights(const float* acc, int A, int B, float* out);

// ---------------------------------------------------------------- norm.cpp

void norm_relu(const bf* p, int C, long pixels, const float* scale, const float* shift, bf* y);
// sums[c] += g where the ReLU is open, sums[C + c] += that times (p - mean); eo order
void norm_sums(const bf* g, const bf* p, int C, long pixels, const float* scale, const float* shift, const float* mean,
               double* sums);
// gp = a gm + b p + k, gm: g where the ReLU is open
void norm_backward(const bf* g, const bf* p, int C, long pixels, const float* scale, const float* shift, const float* a,
                   const float* b, const float* k, bf* gp);
// sums (C) += g (pixels, C)
void add_channels(const bf* g, int C, int pixels, float* sums);

// ---------------------------------------------------------------- upsample.cpp

// Bilinear, twice as large, corners not aligned: output row 2 i (+ 1) from low row a = i and its neighbour b
void upsample_row(const bf* a, const bf* b, int C, int W, bf* y);
// the gradient of a low row from those of the output rows 2 i - 1 .. 2 i + 2
void upsample_row_backward(const bf* r0, const bf* r1, const bf* r2, const bf* r3, int C, int W, bf* gx);
