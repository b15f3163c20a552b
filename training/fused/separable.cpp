// A separable convolution and its gradients, some rows at a time, so that what lies between its two convolutions
// stays in the cache.
#include "kernels.h"

#include <numeric>

// columns at a time: three rows of them stay in the first-level cache while the channels go by
static int chunk_columns(int W, int C) { return C == 32 ? W : std::min(W, std::max(20, 2560 / C)); }
static int group_rows(int W, int C) {  // rows whose pixels are a multiple of 32, more of them where rows are short
    int r = 32 / std::gcd(W, 32), least = C >= 256 ? 320 : 160;
    return r * std::max(1, (least + r * W - 1) / (r * W));
}

enum { PLAIN, NORM, UPSAMPLE };
struct Input {  // rows of an input, those that are made kept in a ring
    const bf* x;
    int C, mode;
    const float* consts;
    int H, W, ring;
    bf* made = nullptr;
    long n = 0;
    void make(long until) {
        if (mode == PLAIN) return;
        made = memory_of<bf>(MADE, (size_t)ring * W * C);
        for (; n < until; n++) {
            bf* to = made + n % ring * W * C;
            if (mode == NORM)
                norm_relu(x + n * W * C, C, W, consts, consts + C, to);
            else {
                long low = n / 2, h = low % (H / 2), other = n & 1 ? (h < H / 2 - 1 ? 1 : 0) : (h ? -1 : 0);
                const bf* a = x + low * (W / 2) * C;
                upsample_row(a, a + other * (W / 2) * C, C, W / 2, to);
            }
        }
    }
    // the rows around row f of channel c of this input or, beyond its channels, of a second one
    Rows rows(const bf* x2, int C2, int c, long f) const {
        if (c >= C) return rows_of([=](long i) { return x2 + i * W * C2; }, C2, c - C, f, H);
        if (mode == PLAIN) return rows_of([=](long i) { return x + i * W * C; }, C, c, f, H);
        return rows_of([=](long i) { return made + i % ring * W * C; }, C, c, f, H);
    }
};
static void depthwise_rows(const Input& in, const bf* x2, int C2, long f0, long f1, const float* wt, int chunk, bf* d) {
    int C = in.C + C2, W = in.W;
    for (long f = f0; f < f1; f++)
        for (int w0 = 0; w0 < W; w0 += chunk)
            for (int c = 0; c < C; c += 32)
                depthwise_row(in.rows(x2, C2, c, f), wt + c * 9, d + (f - f0) * W * C + c, C, W, w0,
                              std::min(W, w0 + chunk));
}

// A separable convolution of the channels of x1 and x2 (C2 = 0: only x1), p (N, H, W, Co). How x1 is given: PLAIN;
// NORM: it is relu(batch norm of x1); UPSAMPLE: x1 (N, H/2, W/2, C1) is made twice as large first. sums (2, Co), may
// be null: sums and sums of squares of p.
EXPORT void separable_forward(const bf* x1, int C1, int mode, const float* consts, const bf* x2, int C2,
                              const float* dw, const float* pw, const float* bias, int N, int H, int W, int Co,
                              bf* p, double* sums) {
    int C = C1 + C2;
    float* wt = memory_of<float>(WEIGHTS, C * 9);
    pack_depthwise(dw, C, false, wt);
    const bf* right = pack_right(pw, C, Co, 1, C, Co);
    float* part = memory_of<float>(SUMS, 2 * Co);
    configure_tiles();
    long rows = (long)N * H;
    int step = group_rows(W, C), chunk = chunk_columns(W, C);
    Input in{x1, C1, mode, consts, H, W, step + 4};
    bf* d = memory_of<bf>(DEPTHWISE, (size_t)step * W * C);
    for (long f0 = 0; f0 < rows; f0 += step) {
        long f1 = std::min(rows, f0 + step);
        in.make(std::min(rows, f1 + 1));
        depthwise_rows(in, x2, C2, f0, f1, wt, chunk, d);
        bf* to = p + f0 * W * Co;
        int M = (int)(f1 - f0) * W;
        if (sums) {
            memset(part, 0, 8 * Co);
            multiply_with_sums(d, C, right, Co, to, M, bias, part, part + Co);
            for (int i = 0; i < 2 * Co; i++) sums[i] += part[i];
        } else
            multiply(d, C, right, Co, to, M, bias);
    }
    _tile_release();
}

// Its gradients. g: of p, or (with p and its consts, back) of relu(batch norm of p). gx1: of x1 before it is made
// larger, but after its batch norm and ReLU, of which sums (2, C1) get norm_sums; gx2: of x2; gdw (C, 9), gpw (Co, C),
// gbias (Co, may be null).
EXPORT void separable_backward(const bf* g, const bf* p, const float* p_consts, const float* back, const bf* x1, int C1,
                               int mode, const float* consts, const bf* x2, int C2, const float* dw, const float* pw,
                               int N, int H, int W, int Co, bf* gx1, bf* gx2, float* gdw, float* gpw, float* gbias,
                               double* sums) {
    int C = C1 + C2;
    float *wt = memory_of<float>(WEIGHTS, C * 18), *flipped = wt + C * 9;
    pack_depthwise(dw, C, false, wt);
    pack_depthwise(dw, C, true, flipped);
    const bf* right = pack_right(pw, Co, C, C, 1, C);
    long rows = (long)N * H, done = 0, low = 0;
    int step = group_rows(W, C), most = step * W, chunk = chunk_columns(W, C);
    Input in{x1, C1, mode, consts, H, W, step + 4};
    int gd_ring = step > 1 ? 2 * step : 3, gx_ring = step + 6;
    bf* d = memory_of<bf>(DEPTHWISE, (size_t)most * C);
    bf* gd = memory_of<bf>(DEPTHWISE_GRADIENT, (size_t)gd_ring * W * C);
    bf* gx = mode == UPSAMPLE ? memory_of<bf>(INPUT_GRADIENT, (size_t)gx_ring * W * C1) : nullptr;
    bf* gp = memory_of<bf>(NORM_GRADIENT, (size_t)most * Co);
    bf* t = memory_of<bf>(TRANSPOSED, (size_t)most * Co);
    bf* v = memory_of<bf>(PAIRS, (size_t)most * C);
    float* acc = memory_of<float>(MATRIX_SUMS, (size_t)Co * C);
    float* gw = memory_of<float>(KERNEL_SUMS, C * 9);
    auto gd_at = [=](long f) { return (const bf*)gd + f % gd_ring * W * C; };
    auto gx_at = [=](long f) { return gx ? gx + f % gx_ring * W * C1 : gx1 + f * W * C1; };
    memset(acc, 0, (size_t)Co * C * 4);
    memset(gw, 0, (size_t)C * 36);
    if (gbias) memset(gbias, 0, Co * 4);
    configure_tiles();
    for (long f0 = 0; f0 < rows; f0 += step) {
        long f1 = std::min(rows, f0 + step);
        int M = (int)(f1 - f0) * W;
        const bf* here = g + f0 * W * Co;
        if (p) {
            norm_backward(here, p + f0 * W * Co, Co, M, p_consts, p_consts + Co, back, back + Co, back + 2 * Co, gp);
            here = gp;
        }
        if (gbias) add_channels(here, Co, M, gbias);
        multiply(here, Co, right, C, gd + f0 % gd_ring * W * C, M, nullptr);
        pack_transposed(here, Co, M, t);
        in.make(std::min(rows, f1 + 1));
        depthwise_rows(in, x2, C2, f0, f1, wt, chunk, d);  // again, rather than keep it: memory is slower
        pack_pairs(d, C, M, v);
        multiply_over_pixels(t, Co, v, C, M, acc);
        long until = f1 == rows ? rows : f1 - 1;
        for (long f = done; f < until; f++)
            for (int w0 = 0; w0 < W; w0 += chunk)
                for (int c = 0; c < C; c += 32) {
                    bool first = c < C1;
                    int w1 = std::min(W, w0 + chunk);
                    bf* to = first ? gx_at(f) + c : gx2 + f * W * C2 + c - C1;
                    depthwise_row(rows_of(gd_at, C, c, f, H), flipped + c * 9, to, first ? C1 : C2, W, w0, w1);
                    depthwise_weights_row(in.rows(x2, C2, c, f), gd_at(f) + c, C, gw + c * 9, W, w0, w1);
                }
        if (mode == NORM)
            norm_sums(gx1 + done * W * C1, x1 + done * W * C1, C1, (until - done) * W, consts, consts + C1,
                      consts + 2 * C1, sums);
        if (mode == UPSAMPLE)
            for (; low < rows / 2; low++) {
                long h = low % (H / 2), first = 2 * low;
                if ((h < H / 2 - 1 ? first + 3 : first + 2) > until) break;
                upsample_row_backward(gx_at(h ? first - 1 : first), gx_at(first), gx_at(first + 1),
                                      gx_at(h < H / 2 - 1 ? first + 2 : first + 1), C1, W / 2,
                                      gx1 + low * (W / 2) * C1);
            }
        done = until;
    }
    _tile_release();
    unpack_weights(acc, Co, C, gpw);
    for (int c = 0; c < C; c++)
        for (int k = 0; k < 9; k++) gdw[c * 9 + k] = gw[(c / 32) * 288 + k * 32 + (eo(c) & 31)];
}
