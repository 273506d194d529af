// Attention of packed samples: included by kernels.cu.
//
// A block computes a tile of queries of one sample for one head, and goes through the keys that these see in pieces, which
// it keeps in shared memory together with their values. Softmax is computed on the way (Milakov and Gimelshein, "Online
// normalizer calculation for softmax", 2018): what was summed before is scaled when a larger score turns up.

#pragma once

// Some queries of one sample, from `first` on, counted from the sample's first one. The results of the sample begin at
// row `out_start`.
struct Tile {
    unsigned query_start, n_queries, key_start, n_keys, out_start, first;
};

// What is the same for all tiles. Heads of a tensor begin `..._first` columns behind the beginning of a row.
struct Attention {
    unsigned n_heads, n_key_heads, dim;
    unsigned query_width, key_width, value_width;
    unsigned query_first, key_first, value_first;
    float scale;
    int reach;
    unsigned window;
    // Rows of the bias; 0 if there is none.
    unsigned n_bias;
    // Whether all heads begin at multiples of 16 bytes and are multiples of 16 bytes long.
    int aligned;
};

// The keys that the query at `place` sees, of n.
__device__ __forceinline__ void seen(const Attention& it, unsigned place, unsigned n, unsigned& begin, unsigned& end) {
    begin = 0;
    end = n;
    if (it.reach == CAUSAL) end = min(n, place + 1);
    if (it.reach == WINDOW) {
        begin = place < it.window ? 0 : min(n, place - it.window);
        end = min(n, place + it.window + 1);
    }
}

// What is added to the score of a head for a distance of key and query.
__device__ __forceinline__ float bias_at(const Attention& it, const float* bias, int distance, unsigned head) {
    int row = (int)(it.n_bias / 2) + distance;
    return 0 <= row && row < (int)it.n_bias ? bias[(size_t)row * it.n_heads + head] : 0.0f;
}

#ifdef SINGLE

// Tiles of 16 queries, 4 for each of 4 warps; 32 keys at a time, one per thread of a warp.
#define QUERIES 16
#define KEYS 32
#define MOST_DIM 128

extern "C" __global__ void __launch_bounds__(128)
    attend(const float* query, const float* key, const float* value, const float* bias, const Tile* tiles, float* out,
           Attention it) {
    __shared__ float queries[QUERIES][MOST_DIM];
    __shared__ float keys[KEYS][MOST_DIM + 1];
    __shared__ float values[KEYS][MOST_DIM];
    const Tile tile = tiles[blockIdx.x / it.n_heads];
    const unsigned head = blockIdx.x % it.n_heads;
    const unsigned key_head = head / (it.n_heads / it.n_key_heads);
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const unsigned n_own = min((unsigned)QUERIES, tile.n_queries - tile.first);
    for (unsigned i = threadIdx.x; i < n_own * it.dim; i += 128) {
        size_t row = tile.query_start + tile.first + i / it.dim;
        queries[i / it.dim][i % it.dim] = query[row * it.query_width + it.query_first + head * it.dim + i % it.dim];
    }
    unsigned first_key, last_key, unused;
    seen(it, tile.first, tile.n_keys, first_key, unused);
    seen(it, tile.first + n_own - 1, tile.n_keys, unused, last_key);
    float most[4], total[4], context[4][MOST_DIM / 32];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        most[i] = -INFINITY;
        total[i] = 0.0f;
#pragma unroll
        for (int j = 0; j < MOST_DIM / 32; j++) context[i][j] = 0.0f;
    }
    for (unsigned start = first_key; start < last_key; start += KEYS) {
        unsigned n = min((unsigned)KEYS, last_key - start);
        __syncthreads();
        for (unsigned i = threadIdx.x; i < n * it.dim; i += 128) {
            size_t row = tile.key_start + start + i / it.dim;
            unsigned column = key_head * it.dim + i % it.dim;
            keys[i / it.dim][i % it.dim] = key[row * it.key_width + it.key_first + column];
            values[i / it.dim][i % it.dim] = value[row * it.value_width + it.value_first + column];
        }
        __syncthreads();
#pragma unroll
        for (int i = 0; i < 4; i++) {
            unsigned own = warp * 4 + i;
            if (n_own <= own) continue;
            unsigned place = tile.first + own, begin, end;
            seen(it, place, tile.n_keys, begin, end);
            float score = -INFINITY;
            if (lane < n && begin <= start + lane && start + lane < end) {
                score = 0.0f;
                for (unsigned j = 0; j < it.dim; j++) score = fmaf(queries[own][j], keys[lane][j], score);
                score *= it.scale;
                if (it.n_bias) score += bias_at(it, bias, (int)(start + lane) - (int)place, head);
            }
            float higher = fmaxf(most[i], warp_max(score));
            if (higher == -INFINITY) continue;
            float weight = __expf(score - higher), before = __expf(most[i] - higher);
            total[i] = total[i] * before + warp_sum(weight);
            most[i] = higher;
#pragma unroll
            for (int j = 0; j < MOST_DIM / 32; j++) context[i][j] *= before;
            for (unsigned k = 0; k < n; k++) {
                float of_key = __shfl_sync(0xffffffffu, weight, k);
#pragma unroll
                for (int j = 0; j < MOST_DIM / 32; j++) {
                    unsigned column = j * 32 + lane;
                    if (column < it.dim) context[i][j] = fmaf(of_key, values[k][column], context[i][j]);
                }
            }
        }
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        unsigned own = warp * 4 + i;
        if (n_own <= own) continue;
        size_t row = tile.out_start + tile.first + own;
#pragma unroll
        for (int j = 0; j < MOST_DIM / 32; j++) {
            unsigned column = j * 32 + lane;
            if (column < it.dim) {
                out[row * it.n_heads * it.dim + head * it.dim + column] = total[i] > 0.0f ? context[i][j] / total[i] : 0.0f;
            }
        }
    }
}

#else

// Tiles of 64 queries, 16 for each of 4 warps; 64 keys at a time. The way through the tensor cores follows Dao,
// "FlashAttention-2" (2023), section 3; which thread holds which number of a matrix is in NVIDIA's PTX manual, section
// "Matrix Fragments for mma.m16n8k16".
#define QUERIES 64
#define KEYS 64

#ifndef EMULATED
// c += a * b for a of shape (16, 16), b of shape (16, 8); 2 numbers of a or b in each register.
__device__ __forceinline__ void multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Four matrices of 8 x 8: thread 8 * i + j says where row j of matrix i begins, and gets from each matrix two adjoining
// numbers of a row.
__device__ __forceinline__ void load_matrices(unsigned (&r)[4], const __half* row) {
    unsigned at = (unsigned)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}

// The same with two adjoining numbers of a column.
__device__ __forceinline__ void load_transposed(unsigned (&r)[4], const __half* row) {
    unsigned at = (unsigned)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}
#endif

__device__ __forceinline__ unsigned two(__half x, __half y) {
    return (unsigned)__half_as_ushort(x) | (unsigned)__half_as_ushort(y) << 16;
}

// Two adjoining numbers of a head; 0 beyond its end.
__device__ __forceinline__ unsigned two_of(const __half* head, unsigned column, const Attention& it) {
    if (it.aligned) return column < it.dim ? *reinterpret_cast<const unsigned*>(head + column) : 0u;
    __half none = __float2half_rn(0.0f);
    return two(column < it.dim ? head[column] : none, column + 1 < it.dim ? head[column + 1] : none);
}

// Copies n rows of a head to shared memory; beyond the head's dimension, and in the rows up to a multiple of 16, is 0.
template <int D>
__device__ __forceinline__ void stage(__half* to, const __half* from, unsigned width, unsigned n, const Attention& it) {
    unsigned n_wide = (n + 15) / 16 * 16 * (D / 8);
#pragma unroll 4
    for (unsigned i = threadIdx.x; i < n_wide; i += 128) {
        unsigned row = i / (D / 8), column = i % (D / 8) * 8;
        uint4 bits = make_uint4(0, 0, 0, 0);
        const __half* at = from + (size_t)row * width + column;
        if (row < n && column < it.dim) {
            if (it.aligned) {
                bits = *reinterpret_cast<const uint4*>(at);
            } else {
                __half* numbers = reinterpret_cast<__half*>(&bits);
                for (unsigned j = 0; j < 8 && column + j < it.dim; j++) numbers[j] = at[j];
            }
        }
        *reinterpret_cast<uint4*>(to + row * (D + 8) + column) = bits;
    }
}

// `keys`, `values` and `offsets` are shared memory.
template <int D>
__device__ __forceinline__ void attend_tile(const __half* query, const __half* key, const __half* value,
                                            const float* bias, const Tile* tiles, __half* out, const Attention& it,
                                            __half* keys, __half* values, float* offsets) {
    const float LOG2_E = 1.4426950f;
    const Tile tile = tiles[blockIdx.x / it.n_heads];
    const unsigned head = blockIdx.x % it.n_heads;
    const unsigned key_head = head / (it.n_heads / it.n_key_heads);
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    // A thread holds numbers of two queries; of matrices, row or column `group`, and adjoining ones from 2 * `pair` on.
    const unsigned group = lane / 4, pair = lane % 4;
    const unsigned own = tile.first + warp * 16;
    const unsigned places[2] = {own + group, own + group + 8};
    const bool works = own < tile.n_queries;

    unsigned q[D / 16][4];
#pragma unroll
    for (int i = 0; i < D / 16; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            unsigned place = places[j % 2];
            size_t row = tile.query_start + min(place, tile.n_queries - 1);
            const __half* from = query + row * it.query_width + it.query_first + head * it.dim;
            q[i][j] = two_of(from, i * 16 + j / 2 * 8 + pair * 2, it);
        }
    }
    unsigned begin[2], end[2], first_key, last_key, unused;
    seen(it, places[0], tile.n_keys, begin[0], end[0]);
    seen(it, places[1], tile.n_keys, begin[1], end[1]);
    seen(it, tile.first, tile.n_keys, first_key, unused);
    seen(it, min(tile.first + QUERIES, tile.n_queries) - 1, tile.n_keys, unused, last_key);

    float most[2] = {-INFINITY, -INFINITY}, total[2] = {0.0f, 0.0f};
    float context[D / 8][4];
#pragma unroll
    for (int i = 0; i < D / 8; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) context[i][j] = 0.0f;
    }
    for (unsigned start = first_key; start < last_key; start += KEYS) {
        const unsigned n = min((unsigned)KEYS, last_key - start);
        __syncthreads();
        size_t row = tile.key_start + start;
        stage<D>(keys, key + row * it.key_width + it.key_first + key_head * it.dim, it.key_width, n, it);
        stage<D>(values, value + row * it.value_width + it.value_first + key_head * it.dim, it.value_width, n, it);
        if (it.n_bias) {
            // Place i is for the distance of key i - (QUERIES - 1) to the tile's first query.
            int distance = (int)(start + threadIdx.x) - (int)(tile.first + QUERIES - 1);
            offsets[threadIdx.x] = bias_at(it, bias, distance, head) * LOG2_E;
        }
        __syncthreads();
        if (!works) continue;

        float scores[KEYS / 8][4];
#pragma unroll
        for (int i = 0; i < KEYS / 8; i += 2) {
#pragma unroll
            for (int j = 0; j < 4; j++) scores[i][j] = scores[i + 1][j] = 0.0f;
            if (n <= i * 8u) continue;
#pragma unroll
            for (int j = 0; j < D / 16; j++) {
                unsigned b[4];
                load_matrices(b, &keys[((i + lane / 16) * 8 + lane % 8) * (D + 8) + j * 16 + lane / 8 % 2 * 8]);
                multiply(scores[i], q[j], b[0], b[1]);
                multiply(scores[i + 1], q[j], b[2], b[3]);
            }
        }
        float higher[2] = {most[0], most[1]};
#pragma unroll
        for (int i = 0; i < KEYS / 8; i++) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                unsigned at = i * 8 + pair * 2 + j % 2;
                float score = scores[i][j] * (it.scale * LOG2_E);
                if (it.n_bias) score += offsets[at + QUERIES - 1 - (places[j / 2] - tile.first)];
                bool visible = begin[j / 2] <= start + at && start + at < end[j / 2];
                scores[i][j] = visible ? score : -INFINITY;
                higher[j / 2] = fmaxf(higher[j / 2], scores[i][j]);
            }
        }
        float before[2], shift[2];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            higher[i] = fmaxf(higher[i], __shfl_xor_sync(0xffffffffu, higher[i], 1));
            higher[i] = fmaxf(higher[i], __shfl_xor_sync(0xffffffffu, higher[i], 2));
            // Where nothing was visible yet, any finite number will do.
            shift[i] = higher[i] == -INFINITY ? 0.0f : higher[i];
            before[i] = exp2f(most[i] - shift[i]);
            most[i] = higher[i];
            total[i] *= before[i];
        }
#pragma unroll
        for (int i = 0; i < KEYS / 8; i++) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                scores[i][j] = exp2f(scores[i][j] - shift[j / 2]);
                total[j / 2] += scores[i][j];
            }
        }
#pragma unroll
        for (int i = 0; i < D / 8; i++) {
#pragma unroll
            for (int j = 0; j < 4; j++) context[i][j] *= before[j / 2];
        }
#pragma unroll
        for (int i = 0; i < KEYS / 16; i++) {
            if (n <= i * 16u) continue;
            unsigned weights[4];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const float* pairs = &scores[i * 2 + j / 2][j % 2 * 2];
                weights[j] = two(__float2half_rn(pairs[0]), __float2half_rn(pairs[1]));
            }
#pragma unroll
            for (int j = 0; j < D / 8; j += 2) {
                unsigned b[4];
                load_transposed(b, &values[(i * 16 + lane % 16) * (D + 8) + (j + lane / 16) * 8]);
                multiply(context[j], weights, b[0], b[1]);
                multiply(context[j + 1], weights, b[2], b[3]);
            }
        }
    }
    if (!works) return;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        total[i] += __shfl_xor_sync(0xffffffffu, total[i], 1);
        total[i] += __shfl_xor_sync(0xffffffffu, total[i], 2);
        if (tile.n_queries <= places[i]) continue;
        float scale = total[i] > 0.0f ? 1.0f / total[i] : 0.0f;
        __half* to = out + ((size_t)(tile.out_start + places[i]) * it.n_heads + head) * it.dim;
#pragma unroll
        for (int j = 0; j < D / 8; j++) {
            unsigned column = j * 8 + pair * 2;
            __half x = __float2half_rn(context[j][i * 2] * scale), y = __float2half_rn(context[j][i * 2 + 1] * scale);
            if (it.aligned) {
                if (column < it.dim) *reinterpret_cast<unsigned*>(to + column) = two(x, y);
            } else {
                if (column < it.dim) to[column] = x;
                if (column + 1 < it.dim) to[column + 1] = y;
            }
        }
    }
}

// Attention of heads of at most D numbers; blocks of 128 threads, one per tile and head. Rows in shared memory are 16
// bytes longer than they need be, so that eight of them begin in different banks.
#define ATTEND(D)                                                                                                     \
    extern "C" __global__ void __launch_bounds__(128)                                                                 \
    attend_##D(const __half* query, const __half* key, const __half* value, const float* bias, const Tile* tiles,     \
               __half* out, Attention it) {                                                                           \
        __shared__ __align__(16) __half keys[KEYS * (D + 8)];                                                         \
        __shared__ __align__(16) __half values[KEYS * (D + 8)];                                                       \
        __shared__ float offsets[QUERIES + KEYS];                                                                     \
        attend_tile<D>(query, key, value, bias, tiles, out, it, keys, values, offsets);                               \
    }
ATTEND(32)
ATTEND(64)
ATTEND(96)
ATTEND(128)

#endif
