// Runs the kernels of joins on the CPU against plain loops: see scripts/cuda-emulate.sh.
//
// Buffers end where a page ends that nothing may touch; what is to be written is NaN before. Threads run in several orders.

#include "../kernels.cu"

#include <map>

#include "buffer.h"

static uint64_t state = 1;

static unsigned random_below(unsigned n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state >> 40) % n;
}

// Multiples of 1/16 in [-1, 1], so that many are equal and many are limits.
static float random_number() { return (float)random_below(33) / 16.0f - 1.0f; }

static unsigned n_checks = 0;

static void fail(const char* what, unsigned row, unsigned column) {
    printf("%s: wrong at row %u, column %u\n", what, row, column);
    exit(1);
}

// Products of a tile in rows of `stride` numbers; what lies between the rows would be a pair, or is NaN.
static std::vector<__half> products(unsigned n_rows, unsigned n_columns, unsigned stride) {
    std::vector<__half> tile(n_rows * stride);
    for (unsigned i = 0; i < tile.size(); i++) {
        float between = i % 2 ? 2.0f : NAN;
        tile[i] = __float2half_rn(i % stride < n_columns ? random_number() : between);
    }
    return tile;
}

static std::vector<float> limits(unsigned n, bool some_infinite) {
    std::vector<float> limits(n);
    for (float& x : limits) x = some_infinite && random_below(3) == 0 ? INFINITY : random_number();
    return limits;
}

static void filters(unsigned seed) {
    for (unsigned n_rows : {1u, 7u, 64u, 65u, 130u}) {
        for (unsigned n_columns : {1u, 7u, 8u, 9u, 255u, 256u, 257u, 520u}) {
            for (int diagonal : {-600, -3, 0, 1, 40, 1 << 30}) {
                unsigned stride = 528, first_column = random_below(1000), n_expected = 0;
                std::vector<__half> tile = products(n_rows, n_columns, stride);
                // Two sets of rows have no limits for the second one; all limits are NaN for a threshold that is.
                bool is_nan = diagonal == -3 && n_rows == 7;
                std::vector<float> of_rows = limits(n_rows, false), of_columns = limits(n_columns, n_rows % 2);
                if (is_nan) of_rows.assign(n_rows, NAN), of_columns.assign(n_columns, NAN);
                std::map<unsigned, float> expected;
                for (unsigned row = 0; row < n_rows; row++) {
                    for (unsigned column = 0; column < n_columns; column++) {
                        float product = __half2float(tile[row * stride + column]);
                        bool reaches = of_rows[row] <= product || of_columns[column] <= product;
                        if (!reaches || (long)column + diagonal <= (long)row) continue;
                        expected[row << 16 | (first_column + column)] = product;
                        n_expected++;
                    }
                }
                for (unsigned capacity : {n_expected + 1, n_expected, n_expected / 2}) {
                    Buffer<__half> t(tile);
                    Buffer<float> r(of_rows), c(of_columns);
                    Buffer<uint2> pairs(capacity);
                    Buffer<unsigned> n_pairs(std::vector<unsigned>{0});
                    launch(dim3((n_columns + 255) / 256, (n_rows + 63) / 64), dim3(32, 8), seed, [&] {
                        filter(t.data, r.data, c.data, pairs.data, n_pairs.data, n_rows, n_columns, stride, first_column,
                               diagonal, capacity);
                    });
                    n_checks++;
                    if (n_pairs.data[0] != n_expected) fail("number of pairs", n_pairs.data[0], n_expected);
                    std::map<unsigned, float> rest = expected;
                    for (unsigned i = 0; i < std::min(capacity, n_expected); i++) {
                        unsigned place = pairs.data[i].x;
                        auto found = rest.find(place);
                        if (found == rest.end() || __float_as_uint(found->second) != pairs.data[i].y) {
                            fail("pair", place >> 16, place & 0xffff);
                        }
                        rest.erase(found);
                    }
                    if (n_expected < capacity && pairs.data[n_expected].x != 0xffffffffu) fail("what is no pair", 0, 0);
                }
            }
        }
    }
}

static void all_floors(unsigned seed) {
    for (unsigned n_columns : {1u, 3u, 40u, 255u, 256u, 257u, 700u}) {
        for (unsigned part : {256u, 512u, 1024u}) {
            for (int is_self : {0, 1}) {
                unsigned n_rows = 5, first_row = 11, stride = part;
                std::vector<unsigned> ids(n_columns);
                for (unsigned i = 0; i < n_columns; i++) ids[i] = i * 3 + 2;
                std::vector<std::vector<__half>> tiles;
                for (unsigned first = 0; first < n_columns; first += part) {
                    tiles.push_back(products(n_rows, std::min(part, n_columns - first), stride));
                }
                for (unsigned k : {1u, 2u, 10u, 64u}) {
                    Buffer<float> largest(n_rows * GROUPS), out(n_rows);
                    for (unsigned i = 0; i < tiles.size(); i++) {
                        unsigned n = std::min(part, n_columns - i * part);
                        Buffer<__half> tile(tiles[i]);
                        Buffer<unsigned> own(std::vector<unsigned>(ids.begin() + i * part, ids.begin() + i * part + n));
                        launch(dim3(n_rows), dim3(GROUPS), seed, [&] {
                            floors(tile.data, own.data, largest.data, out.data, n, stride, first_row, is_self, i == 0, k);
                        });
                    }
                    n_checks++;
                    for (unsigned row = 0; row < n_rows; row++) {
                        std::vector<float> groups(GROUPS, -INFINITY);
                        for (unsigned i = 0; i < n_columns; i++) {
                            if (is_self && ids[i] == first_row + row) continue;
                            float x = __half2float(tiles[i / part][row * stride + i % part]);
                            groups[i % part % GROUPS] = std::max(groups[i % part % GROUPS], x);
                        }
                        std::sort(groups.begin(), groups.end(), std::greater<float>());
                        if (out.data[row] != groups[k - 1]) fail("floor", row, k);
                    }
                }
            }
        }
    }
}

int main() {
    for (unsigned seed : {0u, 1u, 7u}) {
        n_checks = 0;
        filters(seed);
        printf("filter, order %u: %u checks\n", seed, n_checks);
        n_checks = 0;
        all_floors(seed);
        printf("floors, order %u: %u checks\n", seed, n_checks);
    }
}
