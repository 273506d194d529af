// What a GPU does for joins besides matrix products: it picks the pairs of a tile that may count.
//
// A tile holds products of rows of half precision, row-major, `stride` numbers from one row to the next; it begins at a
// multiple of 256 bytes, and `stride` is a multiple of 8. Products are finite.

#include <cuda_fp16.h>

// Columns of one thread: 16 bytes.
#define WIDE 8

// Rows of one block of `filter`.
#define ROWS 64

// Threads of one block of `floors`.
#define GROUPS 256

// Lists the pairs (row, column) whose product reaches the smaller one of their two limits and whose column is larger than
// the row, less `diagonal`: (row << 16 | first_column + column, bits of the product). Counts all, and writes the first
// `capacity` of them, in any order.
//
// Blocks of (32, 8) threads for 256 columns and ROWS rows.
extern "C" __global__ void filter(const __half* tile, const float* row_limits, const float* column_limits, uint2* pairs,
                                  unsigned* n_pairs, unsigned n_rows, unsigned n_columns, unsigned stride,
                                  unsigned first_column, int diagonal, unsigned capacity) {
    unsigned column = (blockIdx.x * 32 + threadIdx.x) * WIDE;
    if (n_columns <= column) return;
    float limits[WIDE];
#pragma unroll
    for (int i = 0; i < WIDE; i++) limits[i] = column + i < n_columns ? column_limits[column + i] : INFINITY;
    unsigned first = blockIdx.y * ROWS, last = min(first + ROWS, n_rows);
#pragma unroll 4
    for (unsigned row = first + threadIdx.y; row < last; row += 8) {
        uint4 bits = *reinterpret_cast<const uint4*>(tile + (size_t)row * stride + column);
        const __half* products = reinterpret_cast<const __half*>(&bits);
        float limit = row_limits[row];
        bool any = false;
#pragma unroll
        for (int i = 0; i < WIDE; i++) any |= fminf(limit, limits[i]) <= __half2float(products[i]);
        if (!any) continue;
#pragma unroll
        for (int i = 0; i < WIDE; i++) {
            float product = __half2float(products[i]);
            unsigned own = column + i;
            if (!(fminf(limit, limits[i]) <= product) || n_columns <= own || (int)own + diagonal <= (int)row) continue;
            unsigned place = atomicAdd(n_pairs, 1u);
            if (place < capacity) pairs[place] = make_uint2(row << 16 | (first_column + own), __float_as_uint(product));
        }
    }
}

// For each row a number that the products of `k` columns of all parts reach, other than that of its own number: the columns
// are dealt out to GROUPS groups, and this is the k-th largest of the largest products of the groups; -inf where fewer than k
// groups have a column. `ids` holds the number of each column; rows are numbered from `first_row` on, and `is_self` is 0
// where these are other numbers. `largest` has shape (rows, GROUPS): what is left of the parts before, and not read for the
// first one. `floors` is written after every part.
//
// A block of GROUPS threads for each row; k is at most GROUPS.
extern "C" __global__ void floors(const __half* tile, const unsigned* ids, float* largest, float* floors,
                                  unsigned n_columns, unsigned stride, unsigned first_row, int is_self, int is_first,
                                  unsigned k) {
    __shared__ float shared[GROUPS];
    unsigned row = blockIdx.x, group = threadIdx.x;
    const __half* products = tile + (size_t)row * stride;
    float* place = largest + (size_t)row * GROUPS + group;
    float own = is_first ? -INFINITY : *place;
    for (unsigned column = group; column < n_columns; column += GROUPS) {
        if (is_self && ids[column] == first_row + row) continue;
        own = fmaxf(own, __half2float(products[column]));
    }
    *place = own;
    shared[group] = own;
    __syncthreads();
    unsigned n_before = 0;
    for (unsigned other = 0; other < GROUPS; other++) {
        float x = shared[other];
        n_before += own < x || (own == x && other < group);
    }
    if (n_before + 1 == k) floors[row] = own;
}
