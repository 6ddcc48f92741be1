// The small conv nets of dynamic_conv_of_gathered, one instance after the other, all layers fused.
//
// A net has few channels and large maps. Run layer by layer, every map travels through memory several times; here a row
// of each layer is computed as soon as its input rows are there, and only as many rows are kept as the next layer reads.
// Gathered maps are upsampled row by row on the way in. So all that is read again and again stays in the first caches.
//
// Shape shorthand: N instances, K gathered and S shared inputs, C = K + S, c channels between the layers, k kernel side,
// r = k / 2, (h, w) size of the gathered maps, (H, W) of everything else.

#include <algorithm>
#include <cstdint>
#include <exception>
#include <vector>

namespace {

#ifdef __AVX512F__
constexpr int LANES = 16, VECTORS = 4;  // 4 outputs x 4 vectors fill half of 32 registers
#else
constexpr int LANES = 8, VECTORS = 2;  // 8 of 16
#endif
// Loads that cross cache lines are what the inner loop waits for: compilers would repeat them for each output.
#ifdef __x86_64__
#define IN_REGISTER(vector) __asm__("" : "+v"(vector))
#else
#define IN_REGISTER(vector)
#endif
constexpr int TILE = LANES * VECTORS;
constexpr int OUTPUTS = 4;
constexpr int LINE = 64 / sizeof(float);
typedef float Vector __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float))));

// Rows of several channels, the last `kept` of them. In memory a row begins r zeros before its first pixel and ends with
// at least r + TILE zeros, so that a tile may read beyond it; all begin where a cache line does.
struct Rows {
    int channels, kept, length;
    std::vector<float> values;
    float* start;  // of the first row, where a cache line begins

    Rows(int channels, int kept, int length)
        : channels(channels), kept(kept), length(length), values(size_t(channels) * kept * length + LINE, 0.0f) {
        start = values.data() + (LINE - reinterpret_cast<uintptr_t>(values.data()) / sizeof(float) % LINE);
    }

    float* row(int y, int channel) { return start + (size_t(y % kept) * channels + channel) * length; }
};

// The pixels that begin 1 or 2 behind those of `low`, which `high` goes on.
#if __has_builtin(__builtin_shufflevector) && defined(__AVX512F__)
#define SHIFTED
inline Vector shifted_1(Vector low, Vector high) {
    return __builtin_shufflevector(low, high, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
}
inline Vector shifted_2(Vector low, Vector high) {
    return __builtin_shufflevector(low, high, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17);
}
#endif

template <int outputs, int vectors>
inline void add(Vector (&sums)[outputs][vectors], const float* weight, Vector (&pixels)[vectors]) {
    for (int v = 0; v < vectors; ++v) IN_REGISTER(pixels[v]);
    for (int o = 0; o < outputs; ++o)
        for (int v = 0; v < vectors; ++v) sums[o][v] += weight[o] * pixels[v];
}

// At `vectors` * LANES pixels from x on, for `outputs` channels: bias + sum over inputs, rows and columns of
// weight * input. inputs: [input][row] -> the padded row; weights: [input][row][column][output].
template <int outputs, int vectors>
void convolve_tile(const std::vector<const float*>& inputs, const float* weight, const float* bias, int k, int x,
                   bool relu, float* const* results) {
    Vector sums[outputs][vectors], pixels[vectors];
    for (int o = 0; o < outputs; ++o)
        for (int v = 0; v < vectors; ++v) sums[o][v] = Vector{} + bias[o];
    for (const float* input : inputs) {
        for (int v = 0; v < vectors; ++v) __builtin_prefetch(input + x + (vectors + v + 1) * LANES);
#ifdef SHIFTED
        if (k == 3) {  // loads across cache lines take as long as the multiplications
            Vector near[vectors + 1];
            for (int v = 0; v <= vectors; ++v) near[v] = *reinterpret_cast<const Vector*>(input + x + v * LANES);
            for (int v = 0; v < vectors; ++v) pixels[v] = near[v];
            add(sums, weight, pixels);
            for (int v = 0; v < vectors; ++v) pixels[v] = shifted_1(near[v], near[v + 1]);
            add(sums, weight + outputs, pixels);
            for (int v = 0; v < vectors; ++v) pixels[v] = shifted_2(near[v], near[v + 1]);
            add(sums, weight + 2 * outputs, pixels);
            weight += 3 * outputs;
            continue;
        }
#endif
        for (int dx = 0; dx < k; ++dx, weight += outputs) {
            for (int v = 0; v < vectors; ++v)
                pixels[v] = *reinterpret_cast<const Vector*>(input + x + dx + v * LANES);
            add(sums, weight, pixels);
        }
    }
    for (int o = 0; o < outputs; ++o)
        for (int v = 0; v < vectors; ++v) {
            Vector sum = sums[o][v];
            if (relu) sum = sum < 0.0f ? Vector{} : sum;  // NaN stays, as in torch
            *reinterpret_cast<Vector*>(results[o] + x + v * LANES) = sum;
        }
}

// A row of at most OUTPUTS channels, tile by tile, and what is left of it in single vectors.
template <int outputs>
void convolve(const std::vector<const float*>& inputs, const float* weights, const float* bias, int k, int width,
              bool relu, float* const* results) {
    int x = 0;
    for (; x + TILE - LANES < width; x += TILE) convolve_tile<outputs, VECTORS>(inputs, weights, bias, k, x, relu, results);
    for (; x < width; x += LANES) convolve_tile<outputs, 1>(inputs, weights, bias, k, x, relu, results);
}

// Weights and biases of one layer, those of OUTPUTS channels together and in the order in which they are used.
struct Layer {
    int inputs, outputs, k;
    std::vector<float> weights, biases;

    // params: (outputs, inputs, k, k), then (outputs).
    Layer(int inputs, int outputs, int k, const float* params) : inputs(inputs), outputs(outputs), k(k) {
        const int taps = inputs * k * k;
        for (int first = 0; first < outputs; first += OUTPUTS)
            for (int tap = 0; tap < taps; ++tap)
                for (int o = first; o < std::min(outputs, first + OUTPUTS); ++o)
                    weights.push_back(params[size_t(o) * taps + tap]);
        biases.assign(params + size_t(outputs) * taps, params + size_t(outputs) * (taps + 1));
    }

    // rows: [input][row of the kernel]; results: [output], where its first pixel goes.
    void run(const std::vector<const float*>& rows, int width, bool relu, const std::vector<float*>& results) const {
        const float* weight = weights.data();
        for (int first = 0; first < outputs; first += OUTPUTS) {
            const int count = std::min(OUTPUTS, outputs - first);
            const float* bias = biases.data() + first;
            float* const* to = results.data() + first;
            if (count == 4) convolve<4>(rows, weight, bias, k, width, relu, to);
            if (count == 3) convolve<3>(rows, weight, bias, k, width, relu, to);
            if (count == 2) convolve<2>(rows, weight, bias, k, width, relu, to);
            if (count == 1) convolve<1>(rows, weight, bias, k, width, relu, to);
            weight += size_t(count) * inputs * k * k;
        }
    }
};

// Bilinear upsampling of a row from w to W pixels; low, high and share say between which two a pixel lies. Also a pixel
// whose weight is zero is multiplied by it: it may be NaN, as in torch.
void upsample(const float* __restrict from, float* __restrict to, int w, int W, const int32_t* __restrict low,
              const int32_t* __restrict high, const float* __restrict share) {
    if (W != 2 * w) {
        for (int x = 0; x < W; ++x) to[x] = (1.0f - share[x]) * from[low[x]] + share[x] * from[high[x]];
        return;
    }
    // The usual case, without looking up.
    to[0] = from[0] + 0.0f * from[w > 1];
    for (int x = 0; x + 1 < w; ++x) {
        to[2 * x + 1] = 0.75f * from[x] + 0.25f * from[x + 1];
        to[2 * x + 2] = 0.25f * from[x] + 0.75f * from[x + 1];
    }
    to[W - 1] = from[w - 1];
}

bool all_finite(const float* row, int width) {
    int strange = 0;
    for (int x = 0; x < width; ++x) strange |= row[x] - row[x] != 0.0f;  // NaN, of an infinite number too
    return !strange;
}

}  // namespace

// Instances [first, last) of N.
//   maps (U, h, w); index (N, K), into maps; shared (S, H, length), padded as `Rows` says; params (N, P); out (N, H, W);
//   finite (N), whether all of an instance's output is; y_* (H) and x_* (W): bilinear sampling of the maps.
// Returns 0, or 1 if there is not enough memory.
extern "C" int mmagg_dynamic_conv(const float* maps, const int64_t* index, const float* shared, const float* params,
                                  float* out, bool* finite, int64_t first, int64_t last, int K, int S, int c,
                                  int num_layers, int k, int num_params, int h, int w, int H, int W, int length,
                                  const int32_t* y_low, const int32_t* y_high, const float* y_share,
                                  const int32_t* x_low, const int32_t* x_high, const float* x_share) try {
    const int r = k / 2;
    const bool resized = h != H || w != W;
    const std::vector<float> zeros(length, 0.0f);
    std::vector<float> between(w), result(length);
    std::vector<Rows> inner;  // the gathered maps, then what the layers but the last compute
    inner.emplace_back(K, k, length);
    for (int i = 1; i < num_layers; ++i) inner.emplace_back(c, k, length);

    for (int64_t n = first; n < last; ++n) {
        finite[n] = true;
        std::vector<Layer> layers;
        const float* own = params + n * num_params;
        for (int i = 0; i < num_layers; ++i) {
            const int inputs = i ? c : K + S, outputs = i + 1 < num_layers ? c : 1;
            layers.emplace_back(inputs, outputs, k, own);
            own += size_t(outputs) * (size_t(inputs) * k * k + 1);
        }
        for (int step = 0; step < H + num_layers * r; ++step) {
            for (int i = 0; i < K && step < H; ++i) {
                const float* map = maps + size_t(index[n * K + i]) * h * w;
                float* row = inner[0].row(step, i) + r;
                if (!resized) {
                    std::copy_n(map + size_t(step) * W, W, row);
                    continue;
                }
                const float *low = map + size_t(y_low[step]) * w, *high = map + size_t(y_high[step]) * w;
                const float share = y_share[step];
                for (int x = 0; x < w; ++x) between[x] = (1.0f - share) * low[x] + share * high[x];
                upsample(between.data(), row, w, W, x_low, x_high, x_share);
            }
            for (int i = 0; i < num_layers; ++i) {
                const int y = step - (i + 1) * r;
                if (y < 0 || y >= H) continue;
                std::vector<const float*> rows;
                for (int input = 0; input < layers[i].inputs; ++input)
                    for (int from = y - r; from <= y + r; ++from) {
                        if (from < 0 || from >= H) rows.push_back(zeros.data());
                        else if (i || input < K) rows.push_back(inner[i].row(from, input));
                        else rows.push_back(shared + (size_t(input - K) * H + from) * length);
                    }
                const bool is_last = i + 1 == num_layers;
                std::vector<float*> to;
                for (int o = 0; o < layers[i].outputs; ++o)
                    to.push_back(is_last ? result.data() : inner[i + 1].row(y, o) + r);
                layers[i].run(rows, W, !is_last, to);
                if (is_last) {
                    std::copy_n(result.data(), W, out + (size_t(n) * H + y) * W);
                    finite[n] &= all_finite(result.data(), W);
                } else
                    for (float* row : to) std::fill(row + W, row - r + length, 0.0f);  // the tile went beyond the row
            }
        }
    }
    return 0;
} catch (const std::exception&) {
    return 1;
}
