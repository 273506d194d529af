// The operations on activations of NVIDIA GPUs, all but the matrix products.
//
// Compiled twice by build.rs: rows are kept in half precision, or in single precision if SINGLE is defined. Everything is
// computed in single precision and rounded once, when it is written. Every number is summed in an order that depends on
// nothing but the shape of its own row or sample.
//
// Rows are row-major, (n, width), and begin at a multiple of 256 bytes. Kernels "by rows" are launched with blocks of
// (x, y) threads: y rows per block, x threads per row. Reads and writes are 16 bytes wide where widths allow it.

#include <cuda_fp16.h>

#ifdef SINGLE
typedef float Number;
#else
typedef __half Number;
#endif

// Numbers in 16 bytes.
#define WIDE (16 / (int)sizeof(Number))

// As in Rust: `Activation`, `Pooling`, `Reach`.
enum { IDENTITY, RELU, RELU6, GELU, GELU_TANH, QUICK_GELU, SILU };
enum { MEAN, CLS, LAST, MAX };
enum { ALL, CAUSAL, WINDOW };

__device__ __forceinline__ float single(float x) { return x; }
__device__ __forceinline__ float single(__half x) { return __half2float(x); }
__device__ __forceinline__ void put(float* at, float x) { *at = x; }
__device__ __forceinline__ void put(__half* at, float x) { *at = __float2half_rn(x); }

// Reads V adjoining numbers: one, or 16 bytes at a multiple of 16 bytes.
template <int V>
__device__ __forceinline__ void load(const Number* from, float* x) {
    if (V == 1) {
        x[0] = single(*from);
    } else {
        uint4 bits = *reinterpret_cast<const uint4*>(from);
        const Number* numbers = reinterpret_cast<const Number*>(&bits);
#pragma unroll
        for (int i = 0; i < V; i++) x[i] = single(numbers[i]);
    }
}

// Writes V adjoining numbers.
template <int V>
__device__ __forceinline__ void store(Number* to, const float* x) {
    if (V == 1) {
        put(to, x[0]);
    } else {
        uint4 bits;
        Number* numbers = reinterpret_cast<Number*>(&bits);
#pragma unroll
        for (int i = 0; i < V; i++) put(&numbers[i], x[i]);
        *reinterpret_cast<uint4*>(to) = bits;
    }
}

// Reads V adjoining numbers in single precision: one, or 4 and 4.
template <int V>
__device__ __forceinline__ void load_single(const float* from, float* x) {
    if (V == 1) {
        x[0] = *from;
    } else {
#pragma unroll
        for (int i = 0; i < V; i += 4) {
            float4 four = *reinterpret_cast<const float4*>(from + i);
            x[i] = four.x;
            x[i + 1] = four.y;
            x[i + 2] = four.z;
            x[i + 3] = four.w;
        }
    }
}

// x / (1 + e^-u)
__device__ __forceinline__ float times_sigmoid(float x, float u) { return __fdividef(x, 1.0f + __expf(-u)); }

// x * Phi(x) with erf by Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: absolute error at most 1.5e-7.
__device__ __forceinline__ float gelu(float x) {
    float z = fabsf(x) * 0.70710678f;
    float t = __fdividef(1.0f, fmaf(z, 0.3275911f, 1.0f));
    float poly = fmaf(1.0614054f, t, -1.453152f);
    poly = fmaf(poly, t, 1.4214138f);
    poly = fmaf(poly, t, -0.28449674f);
    poly = fmaf(poly, t, 0.25482959f);
    float tail = 0.5f * poly * t * __expf(-z * z);  // the mass beyond |x|
    return x * (x < 0.0f ? tail : 1.0f - tail);
}

__device__ __forceinline__ float activate(int activation, float x) {
    switch (activation) {
        case RELU: return fmaxf(x, 0.0f);
        case RELU6: return fminf(fmaxf(x, 0.0f), 6.0f);
        case GELU: return gelu(x);
        // x * (1 + tanh(u / 2)) / 2 is x * sigmoid(u); 1.5957691 is 2 * sqrt(2 / pi).
        case GELU_TANH: return times_sigmoid(x, 1.5957691f * x * fmaf(x * x, 0.044715f, 1.0f));
        case QUICK_GELU: return times_sigmoid(x, 1.702f * x);
        case SILU: return times_sigmoid(x, x);
        default: return x;
    }
}

// Sum over the 32 threads of a warp, the same in all of them.
__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (int distance = 16; 0 < distance; distance /= 2) x += __shfl_xor_sync(0xffffffffu, x, distance);
    return x;
}

// Largest number over the 32 threads of a warp.
__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
    for (int distance = 16; 0 < distance; distance /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, distance));
    return x;
}

// The row that a thread of a kernel by rows works on.
__device__ __forceinline__ unsigned own_row() { return blockIdx.x * blockDim.y + threadIdx.y; }

// ---- after products

template <int V>
__device__ __forceinline__ void add_bias_row(Number* row, const float* bias, unsigned width, int activation) {
    for (unsigned column = threadIdx.x * V; column < width; column += blockDim.x * V) {
        float x[V], b[V];
        load<V>(row + column, x);
        if (bias) {
            load_single<V>(bias + column, b);
#pragma unroll
            for (int i = 0; i < V; i++) x[i] += b[i];
        }
#pragma unroll
        for (int i = 0; i < V; i++) x[i] = activate(activation, x[i]);
        store<V>(row + column, x);
    }
}

// x = activation(x + bias), by rows; `bias` may be null.
extern "C" __global__ void add_bias(Number* x, const float* bias, unsigned n, unsigned width, int activation) {
    unsigned row = own_row();
    if (n <= row) return;
    Number* own = x + (size_t)row * width;
    if (width % WIDE == 0) {
        add_bias_row<WIDE>(own, bias, width, activation);
    } else {
        add_bias_row<1>(own, bias, width, activation);
    }
}

template <int V>
__device__ __forceinline__ void gate_row(const Number* left, Number* out, unsigned width, int activation) {
    for (unsigned column = threadIdx.x * V; column < width; column += blockDim.x * V) {
        float x[V], y[V];
        load<V>(left + column, x);
        load<V>(left + width + column, y);
#pragma unroll
        for (int i = 0; i < V; i++) x[i] = activate(activation, x[i]) * y[i];
        store<V>(out + column, x);
    }
}

// out = activation(left half of x) * right half of x, by rows of `out`.
extern "C" __global__ void gate(const Number* x, Number* out, unsigned n, unsigned width, int activation) {
    unsigned row = own_row();
    if (n <= row) return;
    const Number* left = x + (size_t)row * 2 * width;
    Number* own = out + (size_t)row * width;
    if (width % WIDE == 0) {
        gate_row<WIDE>(left, own, width, activation);
    } else {
        gate_row<1>(left, own, width, activation);
    }
}

// ---- tables

template <int V>
__device__ __forceinline__ void gather_row(const float* from, Number* row, unsigned width, int add) {
    for (unsigned column = threadIdx.x * V; column < width; column += blockDim.x * V) {
        float x[V], y[V];
        load_single<V>(from + column, x);
        if (add) {
            load<V>(row + column, y);
#pragma unroll
            for (int i = 0; i < V; i++) x[i] += y[i];
        }
        store<V>(row + column, x);
    }
}

// out[i] = table[indices[i]], or += if `add`, by rows of `out`.
extern "C" __global__ void gather(const float* table, const unsigned* indices, Number* out, unsigned n, unsigned width,
                                  int add) {
    unsigned row = own_row();
    if (n <= row) return;
    const float* from = table + (size_t)indices[row] * width;
    Number* own = out + (size_t)row * width;
    if (width % WIDE == 0) {
        gather_row<WIDE>(from, own, width, add);
    } else {
        gather_row<1>(from, own, width, add);
    }
}

template <int V>
__device__ __forceinline__ void copy_row(const Number* from, Number* to, unsigned width) {
    for (unsigned column = threadIdx.x * V; column < width; column += blockDim.x * V) {
        float x[V];
        load<V>(from + column, x);
        store<V>(to + column, x);
    }
}

// Puts the rows of `prefix` before each sample of `len` rows, by rows of `out`: n = samples * (n_prefix + len).
extern "C" __global__ void prepend(const float* prefix, const Number* x, Number* out, unsigned n, unsigned width,
                                   unsigned n_prefix, unsigned len) {
    unsigned row = own_row();
    if (n <= row) return;
    unsigned sample = row / (n_prefix + len), place = row % (n_prefix + len);
    Number* own = out + (size_t)row * width;
    const float* before = prefix + (size_t)place * width;
    const Number* from = x + ((size_t)sample * len + place - n_prefix) * width;
    if (width % WIDE == 0) {
        if (place < n_prefix) gather_row<WIDE>(before, own, width, 0);
        else copy_row<WIDE>(from, own, width);
    } else {
        if (place < n_prefix) gather_row<1>(before, own, width, 0);
        else copy_row<1>(from, own, width);
    }
}

// ---- norms

// Normalizes `width` adjoining numbers by one warp; P times 16 bytes per thread stay in registers, and P is large enough
// for all.
template <int P>
__device__ __forceinline__ void normalize_held(const Number* from, Number* to, const float* weight, const float* bias,
                                               unsigned width, float eps, int centered) {
    unsigned lane = threadIdx.x;
    float x[P][WIDE];
    float sum = 0.0f;
#pragma unroll
    for (int p = 0; p < P; p++) {
        unsigned column = (p * 32 + lane) * WIDE;
        if (column < width) {
            load<WIDE>(from + column, x[p]);
#pragma unroll
            for (int i = 0; i < WIDE; i++) sum += x[p][i];
        }
    }
    float mean = centered ? warp_sum(sum) / width : 0.0f;
    float squares = 0.0f;
#pragma unroll
    for (int p = 0; p < P; p++) {
        if ((p * 32 + lane) * WIDE < width) {
#pragma unroll
            for (int i = 0; i < WIDE; i++) squares += (x[p][i] - mean) * (x[p][i] - mean);
        }
    }
    float scale = 1.0f / sqrtf(warp_sum(squares) / width + eps);
#pragma unroll
    for (int p = 0; p < P; p++) {
        unsigned column = (p * 32 + lane) * WIDE;
        if (column < width) {
            float w[WIDE], b[WIDE];
            load_single<WIDE>(weight + column, w);
            if (bias) load_single<WIDE>(bias + column, b);
#pragma unroll
            for (int i = 0; i < WIDE; i++) x[p][i] = (x[p][i] - mean) * scale * w[i] + (bias ? b[i] : 0.0f);
            store<WIDE>(to + column, x[p]);
        }
    }
}

// The same for any width; the numbers are read three times. `from` may be `to`.
__device__ __forceinline__ void normalize_any(const Number* from, Number* to, const float* weight, const float* bias,
                                              unsigned width, float eps, int centered) {
    float mean = 0.0f;
    if (centered) {
        float sum = 0.0f;
        for (unsigned i = threadIdx.x; i < width; i += 32) sum += single(from[i]);
        mean = warp_sum(sum) / width;
    }
    float squares = 0.0f;
    for (unsigned i = threadIdx.x; i < width; i += 32) {
        float x = single(from[i]) - mean;
        squares += x * x;
    }
    float scale = 1.0f / sqrtf(warp_sum(squares) / width + eps);
    for (unsigned i = threadIdx.x; i < width; i += 32) {
        put(&to[i], (single(from[i]) - mean) * scale * weight[i] + (bias ? bias[i] : 0.0f));
    }
}

// Normalizes each row, by rows of 32 threads; `out` may be `x`, `bias` null.
extern "C" __global__ void normalize(const Number* x, Number* out, const float* weight, const float* bias, unsigned n,
                                     unsigned width, float eps, int centered) {
    unsigned row = own_row();
    if (n <= row) return;
    normalize_any(x + (size_t)row * width, out + (size_t)row * width, weight, bias, width, eps, centered);
}

// The same for widths that are multiples of 16 bytes, up to 32 * P of these: kernels of their own, because the registers
// of the widest would leave room for fewer threads.
#define NORMALIZE(P)                                                                                              \
    extern "C" __global__ void normalize_##P(const Number* x, Number* out, const float* weight, const float* bias, \
                                             unsigned n, unsigned width, float eps, int centered) {               \
        unsigned row = own_row();                                                                                 \
        if (n <= row) return;                                                                                     \
        size_t at = (size_t)row * width;                                                                          \
        normalize_held<P>(x + at, out + at, weight, bias, width, eps, centered);                                  \
    }
NORMALIZE(2)
NORMALIZE(4)
NORMALIZE(8)

// Normalizes `n_heads` heads of `dim` adjoining columns from `first` on, in place; n counts heads of all rows; 32 threads
// per head.
extern "C" __global__ void normalize_heads(Number* x, const float* weight, const float* bias, unsigned n, unsigned width,
                                           unsigned first, unsigned n_heads, unsigned dim, float eps, int centered) {
    unsigned own = own_row();
    if (n <= own) return;
    Number* head = x + (size_t)(own / n_heads) * width + first + (size_t)(own % n_heads) * dim;
    normalize_any(head, head, weight, bias, dim, eps, centered);
}

// Rotates `n_heads` heads of `dim` adjoining columns from `first` on, in place, by rows.
extern "C" __global__ void rotate(Number* x, const float* angles, const unsigned* positions, unsigned n, unsigned width,
                                  unsigned first, unsigned n_heads, unsigned dim) {
    unsigned row = own_row();
    if (n <= row) return;
    unsigned half = dim / 2;
    const float* cosines = angles + (size_t)positions[row] * dim;
    Number* own = x + (size_t)row * width + first;
    for (unsigned pair = threadIdx.x; pair < n_heads * half; pair += blockDim.x) {
        unsigned i = pair % half;
        Number* left = own + (pair / half) * dim + i;
        float a = single(left[0]), b = single(left[half]), cosine = cosines[i], sine = cosines[half + i];
        put(&left[0], a * cosine - b * sine);
        put(&left[half], b * cosine + a * sine);
    }
}

// ---- pooling

// One row per sample; spans hold a first row and a number of rows each. Blocks of 32 x 8 threads; block (i, j) computes
// columns 32 * j and so on of sample i: each y takes every eighth row, then these are joined in order.
extern "C" __global__ void pool(const Number* x, const uint2* spans, Number* out, unsigned width, int pooling) {
    __shared__ float parts[8][32];
    uint2 span = spans[blockIdx.x];
    unsigned column = blockIdx.y * 32 + threadIdx.x;
    const Number* rows = x + (size_t)span.x * width + column;
    float part = pooling == MAX ? -INFINITY : 0.0f;
    if (column < width) {
        if (pooling == CLS) {
            part = single(rows[0]);
        } else if (pooling == LAST) {
            part = single(rows[(size_t)(span.y - 1) * width]);
        } else {
#pragma unroll 4
            for (unsigned row = threadIdx.y; row < span.y; row += 8) {
                float number = single(rows[(size_t)row * width]);
                part = pooling == MAX ? fmaxf(part, number) : part + number;
            }
        }
    }
    parts[threadIdx.y][threadIdx.x] = part;
    __syncthreads();
    if (threadIdx.y == 0 && column < width) {
        for (int i = 1; i < 8; i++) {
            if (pooling == MAX) part = fmaxf(part, parts[i][threadIdx.x]);
            if (pooling == MEAN) part += parts[i][threadIdx.x];
        }
        put(&out[(size_t)blockIdx.x * width + column], pooling == MEAN ? part / span.y : part);
    }
}

// ---- pictures

// Height and width of a map and of what a convolution makes of it, and where kernels stand.
struct Map {
    unsigned height, width, out_height, out_width, kernel, stride, before_y, before_x;
};

// The numbers under each kernel, by rows of `out`: n = pictures * kernels, kernel * kernel * 3 columns. `levels` has shape
// (3, 256).
extern "C" __global__ void unfold(const unsigned char* pictures, const float* levels, Number* out, unsigned n, Map map) {
    unsigned row = own_row();
    if (n <= row) return;
    unsigned area = map.out_height * map.out_width;
    unsigned place = row % area;
    const unsigned char* picture = pictures + (size_t)(row / area) * map.height * map.width * 3;
    int top = (int)(place / map.out_width * map.stride) - (int)map.before_y;
    int left = (int)(place % map.out_width * map.stride) - (int)map.before_x;
    unsigned line = map.kernel * 3;
    Number* own = out + (size_t)row * map.kernel * line;
    for (unsigned i = threadIdx.x; i < map.kernel * line; i += blockDim.x) {
        int y = top + (int)(i / line), x = left + (int)(i % line / 3);
        unsigned color = i % 3;
        float level = 0.0f;
        if (0 <= y && y < (int)map.height && 0 <= x && x < (int)map.width) {
            level = levels[color * 256 + picture[((size_t)y * map.width + x) * 3 + color]];
        }
        put(&own[i], level);
    }
}

template <int V>
__device__ __forceinline__ void convolve_pixel(const Number* picture, const float* weight, const float* bias, Number* own,
                                               unsigned channels, int top, int left, const Map& map, int activation) {
    for (unsigned channel = threadIdx.x * V; channel < channels; channel += blockDim.x * V) {
        float sum[V];
        load_single<V>(bias + channel, sum);
        for (unsigned tap = 0; tap < map.kernel * map.kernel; tap++) {
            int y = top + (int)(tap / map.kernel), x = left + (int)(tap % map.kernel);
            if (y < 0 || (int)map.height <= y || x < 0 || (int)map.width <= x) continue;
            float number[V], w[V];
            load<V>(picture + ((size_t)y * map.width + x) * channels + channel, number);
            load_single<V>(weight + (size_t)tap * channels + channel, w);
#pragma unroll
            for (int i = 0; i < V; i++) sum[i] = fmaf(number[i], w[i], sum[i]);
        }
#pragma unroll
        for (int i = 0; i < V; i++) sum[i] = activate(activation, sum[i]);
        store<V>(own + channel, sum);
    }
}

// A depthwise convolution, by rows of `out`, which are pixels; `weight` has shape (kernel * kernel, channels).
extern "C" __global__ void convolve(const Number* x, const float* weight, const float* bias, Number* out, unsigned n,
                                    unsigned channels, Map map, int activation) {
    unsigned row = own_row();
    if (n <= row) return;
    unsigned area = map.out_height * map.out_width;
    unsigned place = row % area;
    const Number* picture = x + (size_t)(row / area) * map.height * map.width * channels;
    int top = (int)(place / map.out_width * map.stride) - (int)map.before_y;
    int left = (int)(place % map.out_width * map.stride) - (int)map.before_x;
    Number* own = out + (size_t)row * channels;
    if (channels % WIDE == 0) {
        convolve_pixel<WIDE>(picture, weight, bias, own, channels, top, left, map, activation);
    } else {
        convolve_pixel<1>(picture, weight, bias, own, channels, top, left, map, activation);
    }
}

#include "attention.cuh"
