// Runs every kernel of kernels.cu on the CPU against plain loops in double precision: see scripts/cuda-emulate.sh.
//
// Buffers end where a page ends that nothing may touch; what is to be written is NaN before. Threads run in several orders.

#include "../kernels.cu"

#include <string>

#include "buffer.h"

#ifdef SINGLE
const double TOLERANCE = 1e-5;
#else
const double TOLERANCE = 2e-3;
#endif

typedef std::vector<double> Numbers;

static uint64_t state = 1;

// Multiples of 1/64 in [-2, 2], which half precision holds exactly.
static double random_number() {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)((state >> 40) % 257) / 64.0 - 2.0;
}

static Numbers random_numbers(size_t n) {
    Numbers numbers(n);
    for (double& x : numbers) x = random_number();
    return numbers;
}

static std::vector<Number> rounded(const Numbers& numbers) {
    std::vector<Number> rows(numbers.size());
    for (size_t i = 0; i < rows.size(); i++) put(&rows[i], (float)numbers[i]);
    return rows;
}

static std::vector<float> singles(const Numbers& numbers) { return std::vector<float>(numbers.begin(), numbers.end()); }

static unsigned n_checks = 0;
static double worst = 0;

static void check(const std::string& what, const Buffer<Number>& got, const Numbers& expected, size_t width) {
    n_checks++;
    if (got.n != expected.size()) {
        printf("%s: %zu numbers, expected %zu\n", what.c_str(), got.n, expected.size());
        exit(1);
    }
    for (size_t i = 0; i < got.n; i++) {
        double x = single(got.data[i]), error = fabs(x - expected[i]) / (1 + fabs(expected[i]));
        if (!(error <= TOLERANCE)) {
            printf("%s: row %zu, column %zu is %g, expected %g\n", what.c_str(), i / width, i % width, x, expected[i]);
            exit(1);
        }
        worst = std::max(worst, error);
    }
}

// The launch of a kernel by rows of `width` numbers, as `Lane::by_rows` makes it.
static void by_rows(unsigned n, unsigned width, unsigned seed, const std::function<void()>& kernel) {
    unsigned wanted = width % WIDE == 0 ? width / WIDE : width, x = 1;
    while (x < wanted && x < 128) x *= 2;
    unsigned y = 256 / x;
    launch(dim3((n + y - 1) / y), dim3(x, y), seed, kernel);
}

static void by_warps(unsigned n, unsigned seed, const std::function<void()>& kernel) {
    launch(dim3((n + 7) / 8), dim3(32, 8), seed, kernel);
}

static double activated(int activation, double x) {
    switch (activation) {
        case RELU: return std::max(x, 0.0);
        case RELU6: return std::min(std::max(x, 0.0), 6.0);
        case GELU: return 0.5 * x * (1 + erf(x / sqrt(2.0)));
        case GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
        case QUICK_GELU: return x / (1 + exp(-1.702 * x));
        case SILU: return x / (1 + exp(-x));
        default: return x;
    }
}

static const unsigned WIDTHS[] = {1, 7, 8, 12, 15, 16, 33, 64, 100, 384};
static const unsigned NS[] = {1, 3, 70};

static void biases(unsigned seed) {
    for (unsigned width : WIDTHS) {
        for (unsigned n : NS) {
            for (int activation = IDENTITY; activation <= SILU; activation++) {
                for (int with = 0; with < 2; with++) {
                    Numbers x = random_numbers(n * width), bias = random_numbers(width);
                    Buffer<Number> rows(rounded(x));
                    Buffer<float> b(singles(bias));
                    by_rows(n, width, seed, [&] { add_bias(rows.data, with ? b.data : nullptr, n, width, activation); });
                    for (size_t i = 0; i < x.size(); i++) x[i] = activated(activation, x[i] + (with ? bias[i % width] : 0));
                    check("add_bias", rows, x, width);
                }
                Numbers x = random_numbers(n * width * 2), expected;
                Buffer<Number> rows(rounded(x)), out(n * width);
                by_rows(n, width, seed, [&] { gate(rows.data, out.data, n, width, activation); });
                for (unsigned i = 0; i < n * width; i++) {
                    double* left = &x[i / width * width * 2 + i % width];
                    expected.push_back(activated(activation, left[0]) * left[width]);
                }
                check("gate", out, expected, width);
            }
        }
    }
}

static void tables(unsigned seed) {
    for (unsigned width : WIDTHS) {
        for (unsigned n : NS) {
            Numbers table = random_numbers(5 * width), sum = random_numbers(n * width), picked;
            std::vector<unsigned> places;
            for (unsigned i = 0; i < n; i++) places.push_back(i * 7 % 5);
            for (unsigned i = 0; i < n * width; i++) picked.push_back(table[places[i / width] * width + i % width]);
            Buffer<float> from(singles(table));
            Buffer<unsigned> indices(places);
            Buffer<Number> out(n * width), added(rounded(sum));
            by_rows(n, width, seed, [&] { gather(from.data, indices.data, out.data, n, width, 0); });
            check("gather", out, picked, width);
            by_rows(n, width, seed, [&] { gather(from.data, indices.data, added.data, n, width, 1); });
            for (unsigned i = 0; i < n * width; i++) sum[i] += picked[i];
            check("add_gather", added, sum, width);

            unsigned len = 3, n_prefix = 5;
            Numbers x = random_numbers(n * len * width), expected;
            for (unsigned sample = 0; sample < n; sample++) {
                expected.insert(expected.end(), table.begin(), table.end());
                expected.insert(expected.end(), x.begin() + sample * len * width, x.begin() + (sample + 1) * len * width);
            }
            Buffer<Number> rows(rounded(x)), joined(expected.size());
            unsigned n_rows = n * (n_prefix + len);
            by_rows(n_rows, width, seed,
                    [&] { prepend(from.data, rows.data, joined.data, n_rows, width, n_prefix, len); });
            check("prepend", joined, expected, width);
        }
    }
}

static void normalize_plainly(double* x, unsigned n, const Numbers& weight, const Numbers* bias, double eps, bool centered) {
    double mean = 0, variance = 0;
    for (unsigned i = 0; centered && i < n; i++) mean += x[i] / n;
    for (unsigned i = 0; i < n; i++) variance += (x[i] - mean) * (x[i] - mean) / n;
    for (unsigned i = 0; i < n; i++) x[i] = (x[i] - mean) / sqrt(variance + eps) * weight[i] + (bias ? (*bias)[i] : 0);
}

static void norms(unsigned seed) {
    for (unsigned width : {1u, 2u, 31u, 32u, 64u, 100u, 128u, 384u, 512u, 768u, 1000u, 1024u, 1280u, 2048u, 2056u}) {
        for (int kind = 0; kind < 4; kind++) {
            unsigned n = width < 200 ? 13 : 3;
            Numbers x = random_numbers(n * width), weight = random_numbers(width), bias = random_numbers(width);
            Buffer<float> w(singles(weight)), b(singles(bias));
            Buffer<Number> rows(rounded(x)), out(n * width);
            bool centered = kind % 2, with = kind / 2;
            for (unsigned i = 0; i < n; i++) normalize_plainly(&x[i * width], width, weight, with ? &bias : nullptr, 1e-6, centered);
            auto kernel = width % WIDE || 8 * 32 * WIDE < width ? normalize
                          : width <= 2 * 32 * WIDE              ? normalize_2
                          : width <= 4 * 32 * WIDE              ? normalize_4
                                                                : normalize_8;
            auto run = [&](Number* to) {
                by_warps(n, seed, [&] { kernel(rows.data, to, w.data, with ? b.data : nullptr, n, width, 1e-6f, centered); });
            };
            run(out.data);
            check("normalize " + std::to_string(width), out, x, width);
            run(rows.data);
            check("normalize in place " + std::to_string(width), rows, x, width);
        }
    }
    for (unsigned dim : {1u, 8u, 24u, 32u, 80u}) {
        for (unsigned first : {0u, 5u}) {
            unsigned n = 7, n_heads = 3, width = first + n_heads * dim + 2;
            Numbers x = random_numbers(n * width), weight = random_numbers(dim), turned = x;
            Buffer<float> w(singles(weight));
            Buffer<Number> rows(rounded(x));
            for (unsigned i = 0; i < n * n_heads; i++) {
                normalize_plainly(&x[i / n_heads * width + first + i % n_heads * dim], dim, weight, nullptr, 1e-6, false);
            }
            by_warps(n * n_heads, seed, [&] {
                normalize_heads(rows.data, w.data, nullptr, n * n_heads, width, first, n_heads, dim, 1e-6f, 0);
            });
            check("normalize_heads", rows, x, width);
            if (dim % 2) continue;
            Numbers angles = random_numbers(4 * dim);
            std::vector<unsigned> places;
            for (unsigned i = 0; i < n; i++) places.push_back((3 * i + 1) % 4);
            Buffer<float> a(singles(angles));
            Buffer<unsigned> positions(places);
            Buffer<Number> rotated(rounded(turned));
            unsigned half = dim / 2;
            for (unsigned i = 0; i < n * n_heads * half; i++) {
                unsigned row = i / (n_heads * half), head = i / half % n_heads, j = i % half;
                double *left = &turned[row * width + first + head * dim + j], x = left[0], y = left[half];
                double cosine = angles[places[row] * dim + j], sine = angles[places[row] * dim + half + j];
                left[0] = x * cosine - y * sine;
                left[half] = y * cosine + x * sine;
            }
            by_rows(n, n_heads * half, seed,
                    [&] { rotate(rotated.data, a.data, positions.data, n, width, first, n_heads, dim); });
            check("rotate", rotated, turned, width);
        }
    }
}

static void pools(unsigned seed) {
    for (unsigned width : {1u, 31u, 32u, 33u, 100u}) {
        for (int pooling = MEAN; pooling <= MAX; pooling++) {
            std::vector<uint2> spans = {{2, 1}, {3, 7}, {10, 8}, {0, 2}, {18, 30}, {48, 9}};
            Numbers x = random_numbers(57 * width), expected;
            for (uint2 span : spans) {
                for (unsigned column = 0; column < width; column++) {
                    double sum = 0, most = -1e9;
                    for (unsigned row = 0; row < span.y; row++) {
                        double number = x[(span.x + row) * width + column];
                        sum += number;
                        most = std::max(most, number);
                    }
                    double first = x[span.x * width + column], last = x[(span.x + span.y - 1) * width + column];
                    expected.push_back(pooling == MEAN ? sum / span.y : pooling == MAX ? most : pooling == CLS ? first : last);
                }
            }
            Buffer<Number> rows(rounded(x)), out(expected.size());
            Buffer<uint2> s(spans);
            launch(dim3(spans.size(), (width + 31) / 32), dim3(32, 8), seed,
                   [&] { pool(rows.data, s.data, out.data, width, pooling); });
            check("pool", out, expected, width);
        }
    }
}

static void pictures(unsigned seed) {
    struct {
        unsigned height, width, kernel, stride, before_y, before_x, out_height, out_width;
    } cases[] = {
        {8, 12, 4, 4, 0, 0, 2, 3}, {7, 5, 3, 2, 1, 1, 4, 3}, {6, 6, 3, 1, 1, 1, 6, 6},   {7, 8, 3, 2, 1, 0, 4, 4},
        {5, 9, 5, 1, 2, 2, 5, 9},  {1, 1, 3, 2, 1, 1, 1, 1}, {9, 5, 5, 2, 2, 2, 5, 3},   {33, 17, 16, 16, 0, 0, 2, 1},
    };
    for (auto it : cases) {
        Map map = {it.height, it.width, it.out_height, it.out_width, it.kernel, it.stride, it.before_y, it.before_x};
        unsigned n = 3, area = it.height * it.width, out_area = it.out_height * it.out_width;
        unsigned taps = it.kernel * it.kernel;
        auto source = [&](unsigned place, unsigned tap) {
            int y = (int)(place / it.out_width * it.stride + tap / it.kernel) - (int)it.before_y;
            int x = (int)(place % it.out_width * it.stride + tap % it.kernel) - (int)it.before_x;
            bool inside = 0 <= y && y < (int)it.height && 0 <= x && x < (int)it.width;
            return inside ? y * (int)it.width + x : -1;
        };
        std::vector<unsigned char> bytes(n * area * 3);
        for (auto& byte : bytes) byte = (unsigned char)(random_number() * 64 + 128 > 255 ? 255 : random_number() * 63 + 128);
        Numbers levels = random_numbers(3 * 256), expected;
        for (unsigned i = 0; i < n * out_area * taps * 3; i++) {
            int from = source(i / (taps * 3) % out_area, i / 3 % taps);
            unsigned color = i % 3, picture = i / (out_area * taps * 3);
            expected.push_back(from < 0 ? 0 : levels[color * 256 + bytes[(picture * area + from) * 3 + color]]);
        }
        Buffer<unsigned char> p(bytes);
        Buffer<float> l(singles(levels));
        Buffer<Number> out(expected.size());
        by_rows(n * out_area, taps * 3, seed, [&] { unfold(p.data, l.data, out.data, n * out_area, map); });
        check("unfold", out, expected, taps * 3);
        for (unsigned channels : {1u, 3u, 8u, 20u, 32u}) {
            Numbers x = random_numbers(n * area * channels), weight = random_numbers(taps * channels);
            Numbers bias = random_numbers(channels), sums;
            for (unsigned i = 0; i < n * out_area * channels; i++) {
                unsigned channel = i % channels, place = i / channels % out_area, picture = i / (channels * out_area);
                double sum = bias[channel];
                for (unsigned tap = 0; tap < taps; tap++) {
                    int from = source(place, tap);
                    if (0 <= from) sum += x[(picture * area + from) * channels + channel] * weight[tap * channels + channel];
                }
                sums.push_back(activated(RELU6, sum));
            }
            Buffer<Number> rows(rounded(x)), convolved(sums.size());
            Buffer<float> w(singles(weight)), b(singles(bias));
            by_rows(n * out_area, channels, seed, [&] {
                convolve(rows.data, w.data, b.data, convolved.data, n * out_area, channels, map, RELU6);
            });
            check("convolve", convolved, sums, channels);
        }
    }
}

struct Span {
    unsigned start, len;
};

static void attention(unsigned seed, Attention it, const std::vector<Span>& queries, const std::vector<Span>& keys,
                      const char* what) {
    unsigned n_queries = 0, n_keys = 0, longest = 1;
    for (Span span : queries) n_queries = std::max(n_queries, span.start + span.len);
    for (Span span : keys) n_keys = std::max(n_keys, span.start + span.len);
    for (Span span : queries) longest = std::max(longest, span.len);
    for (Span span : keys) longest = std::max(longest, span.len);
    Numbers query = random_numbers(n_queries * it.query_width), key = random_numbers(n_keys * it.key_width);
    Numbers value = random_numbers(n_keys * it.value_width), bias;
    if (it.n_bias) {
        it.n_bias = 2 * longest - 1;
        bias = random_numbers(it.n_bias * it.n_heads);
    }
    it.aligned = it.dim % 8 == 0;
    for (unsigned x : {it.query_width, it.key_width, it.value_width, it.query_first, it.key_first, it.value_first}) {
        it.aligned = it.aligned && x % 8 == 0;
    }
    Numbers expected;
    std::vector<Tile> tiles;
    unsigned out_start = 0;
    for (size_t sample = 0; sample < queries.size(); sample++) {
        Span own = queries[sample], other = keys[sample];
        for (unsigned first = 0; first < own.len; first += QUERIES) {
            tiles.push_back({own.start, own.len, other.start, other.len, out_start, first});
        }
        expected.resize((out_start + own.len) * it.n_heads * it.dim);
        for (unsigned i = 0; i < own.len * it.n_heads; i++) {
            unsigned place = i / it.n_heads, head = i % it.n_heads, key_head = head / (it.n_heads / it.n_key_heads);
            const double* q = &query[(own.start + place) * it.query_width + it.query_first + head * it.dim];
            Numbers weights(other.len);
            double total = 0, most = -1e30;
            for (int pass = 0; pass < 2; pass++) {
                for (unsigned j = 0; j < other.len; j++) {
                    int distance = (int)j - (int)place;
                    if (it.reach == CAUSAL && 0 < distance) continue;
                    if (it.reach == WINDOW && (int)it.window < abs(distance)) continue;
                    const double* k = &key[(other.start + j) * it.key_width + it.key_first + key_head * it.dim];
                    double score = 0;
                    for (unsigned d = 0; d < it.dim; d++) score += q[d] * k[d] * it.scale;
                    if (it.n_bias) score += bias[((int)longest - 1 + distance) * it.n_heads + head];
                    if (pass == 0) most = std::max(most, score);
                    else total += weights[j] = exp(score - most);
                }
            }
            double* context = &expected[((out_start + place) * it.n_heads + head) * it.dim];
            for (unsigned j = 0; j < other.len; j++) {
                const double* v = &value[(other.start + j) * it.value_width + it.value_first + key_head * it.dim];
                for (unsigned d = 0; d < it.dim; d++) context[d] += weights[j] / total * v[d];
            }
        }
        out_start += own.len;
    }
    Buffer<Number> q(rounded(query)), k(rounded(key)), v(rounded(value)), out(expected.size());
    Buffer<float> b(singles(bias));
    Buffer<Tile> t(tiles);
#ifdef SINGLE
    auto kernel = attend;
#else
    auto kernel = it.dim <= 32 ? attend_32 : it.dim <= 64 ? attend_64 : it.dim <= 96 ? attend_96 : attend_128;
#endif
    launch(dim3(tiles.size() * it.n_heads), dim3(128), seed,
           [&] { kernel(q.data, k.data, v.data, b.data, t.data, out.data, it); });
    check(std::string("attend, ") + what + ", heads of " + std::to_string(it.dim), out, expected, it.n_heads * it.dim);
}

// Samples of these lengths, one after the other.
static std::vector<Span> packed(const std::vector<unsigned>& lens) {
    std::vector<Span> spans;
    unsigned start = 0;
    for (unsigned len : lens) {
        spans.push_back({start, len});
        start += len;
    }
    return spans;
}

// Queries, keys and values side by side, as encoders have them.
static Attention heads(unsigned n_heads, unsigned n_key_heads, unsigned dim) {
    unsigned width = (n_heads + 2 * n_key_heads) * dim;
    Attention it = {};
    it.n_heads = n_heads;
    it.n_key_heads = n_key_heads;
    it.dim = dim;
    it.query_width = it.key_width = it.value_width = width;
    it.key_first = n_heads * dim;
    it.value_first = (n_heads + n_key_heads) * dim;
    it.scale = 1 / sqrtf(dim);
    return it;
}

static void attentions(unsigned seed) {
    for (unsigned dim : {8u, 16u, 20u, 32u, 33u, 40u, 64u, 72u, 80u, 96u, 100u, 128u}) {
        auto spans = packed({1, 15, 16, 17, 40, 64, 65, 130});
        attention(seed, heads(2, 2, dim), spans, spans, "all");
        auto few = packed({3, 70});
        attention(seed, heads(4, 2, dim), few, few, "shared heads");
        attention(seed, heads(2, 1, dim), few, packed({66, 5}), "across");
        attention(seed, heads(2, 1, dim), {{2, 1}, {9, 70}}, packed({66, 5}), "queries apart");
        Attention it = heads(1, 1, dim);
        it.n_bias = 1;
        attention(seed, it, spans, spans, "bias");
        it.reach = CAUSAL;
        attention(seed, it, spans, spans, "causal with bias");
        it.reach = WINDOW;
        for (unsigned window : {0u, 3u, 70u}) {
            it.window = window;
            attention(seed, it, spans, spans, "window with bias");
        }
        // Rows of another width than the heads need, so that few begin at multiples of 16 bytes.
        it = heads(2, 2, dim);
        it.query_first += 1;
        it.key_first += 2;
        it.value_first += 3;
        it.query_width = it.key_width = it.value_width = it.value_width + 5;
        attention(seed, it, few, few, "odd columns");
    }
    auto longer = packed({300});
    attention(seed, heads(1, 1, 32), longer, longer, "long");
    // Scores of up to 4 * 32 * 50: their exponentials would overflow without a shift.
    Attention it = heads(1, 1, 32);
    it.scale = 50;
    attention(seed, it, longer, longer, "large scores");
}

int main() {
    for (unsigned seed : {0u, 1u, 7u}) {
        struct {
            const char* name;
            void (*run)(unsigned);
        } groups[] = {{"bias, activation, gate", biases}, {"tables", tables}, {"norms, rotation", norms}, {"pool", pools},
                      {"pictures", pictures}, {"attention", attentions}};
        for (auto group : groups) {
            worst = 0;
            n_checks = 0;
            printf("%s, order %u: ", group.name, seed);
            fflush(stdout);
            group.run(seed);
            printf("%u checks, largest relative error %.1e\n", n_checks, worst);
        }
    }
}
