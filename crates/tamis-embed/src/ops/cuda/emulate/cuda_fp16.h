// What our kernels need of CUDA, on the CPU: each thread of a block is a coroutine, which runs until it waits for others.
//
// Found instead of NVIDIA's header of this name by `scripts/cuda-emulate.sh`. The order in which threads run is part of a
// launch, so that a barrier that is missing shows. Warp operations stop the program when a thread of the warp is gone.

#pragma once

#include <immintrin.h>
#include <math.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#define EMULATED
#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(threads)
// In a section of its own, so that a launch can find it; not possible in templates.
#define __shared__ static __attribute__((section("shared_memory")))
#define __align__(bytes) __attribute__((aligned(bytes)))

struct __half {
    uint16_t bits;
};
inline float __half2float(__half x) { return _cvtsh_ss(x.bits); }
inline __half __float2half_rn(float x) { return {(uint16_t)_cvtss_sh(x, 0)}; }
inline unsigned short __half_as_ushort(__half x) { return x.bits; }

struct uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline unsigned min(unsigned x, unsigned y) { return x < y ? x : y; }
inline unsigned __float_as_uint(float x) {
    unsigned bits;
    memcpy(&bits, &x, 4);
    return bits;
}
inline float __expf(float x) { return expf(x); }
inline float __fdividef(float x, float y) { return x / y; }

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
inline dim3 threadIdx(0), blockIdx(0), blockDim(0);

// Threads that have to arrive before any goes on.
struct Barrier {
    unsigned arrived = 0, alive = 0, round = 0;

    void release_if_complete() {
        if (arrived == 0 || arrived != alive) return;
        arrived = 0;
        round++;
    }
};

struct Thread {
    void* stack_pointer;
    std::vector<char> stack;
    dim3 index = dim3(0);
    bool done = false;
    // What it waits for: the end of this round.
    const Barrier* barrier = nullptr;
    unsigned round = 0;

    bool ready() const { return !done && (!barrier || barrier->round != round); }
};

inline std::vector<Thread> threads;
inline void* scheduler;
inline unsigned current;
inline const std::function<void()>* body;
inline Barrier block_barrier;
inline std::vector<Barrier> warp_barriers;
// What the threads of each warp tell each other.
inline std::vector<uint64_t> told;

// Keeps the registers of the caller on its stack, whose top goes to `from`, and goes on where the stack `to` was left.
extern "C" void switch_stacks(void** from, void* to);
asm(R"(
    .text
    .globl switch_stacks
switch_stacks:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret
)");

inline void wait_at(Barrier& barrier) {
    Thread& thread = threads[current];
    thread.barrier = &barrier;
    thread.round = barrier.round;
    barrier.arrived++;
    barrier.release_if_complete();
    if (!thread.ready()) switch_stacks(&thread.stack_pointer, scheduler);
}

// One thread runs at a time.
inline unsigned atomicAdd(unsigned* at, unsigned x) {
    unsigned before = *at;
    *at += x;
    return before;
}

inline void __syncthreads() { wait_at(block_barrier); }

// Tells `words` to the warp, takes what `read` makes of all that its threads told, and lets them go on.
inline void in_warp(const uint64_t* words, unsigned n, const std::function<void(const uint64_t*, unsigned lane)>& read) {
    unsigned warp = current / 32, lane = current % 32, first = warp * 32;
    if (warp_barriers[warp].alive != 32) {
        fprintf(stderr, "a warp operation lacks threads\n");
        abort();
    }
    for (unsigned i = 0; i < n; i++) told[(first + lane) * 8 + i] = words[i];
    wait_at(warp_barriers[warp]);
    read(&told[first * 8], lane);
    wait_at(warp_barriers[warp]);
}

inline float __shfl_sync(unsigned, float x, unsigned from) {
    uint64_t word = 0;
    memcpy(&word, &x, 4);
    float got;
    in_warp(&word, 1, [&](const uint64_t* all, unsigned) { memcpy(&got, &all[from % 32 * 8], 4); });
    return got;
}

inline float __shfl_xor_sync(unsigned mask, float x, unsigned distance) {
    return __shfl_sync(mask, x, current % 32 ^ distance);
}

inline unsigned two_at(const __half* x, const __half* y) { return x->bits | (unsigned)y->bits << 16; }

inline void matrices(unsigned (&r)[4], const __half* row, bool transposed) {
    uint64_t word = (uint64_t)row;
    if (word % 16 != 0) {
        fprintf(stderr, "a row of a matrix does not begin at a multiple of 16 bytes\n");
        abort();
    }
    in_warp(&word, 1, [&](const uint64_t* all, unsigned lane) {
        auto at = [&](unsigned i, unsigned row) { return (const __half*)all[(i * 8 + row) * 8]; };
        unsigned group = lane / 4, pair = lane % 4 * 2;
        for (unsigned i = 0; i < 4; i++) {
            r[i] = transposed ? two_at(at(i, pair) + group, at(i, pair + 1) + group)
                              : two_at(at(i, group) + pair, at(i, group) + pair + 1);
        }
    });
}

inline void load_matrices(unsigned (&r)[4], const __half* row) { matrices(r, row, false); }
inline void load_transposed(unsigned (&r)[4], const __half* row) { matrices(r, row, true); }

inline void multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    uint64_t words[6] = {a[0], a[1], a[2], a[3], b0, b1};
    in_warp(words, 6, [&](const uint64_t* all, unsigned lane) {
        auto number = [&](unsigned from, unsigned word, unsigned odd) {
            return __half2float({(uint16_t)(all[from * 8 + word] >> (16 * odd))});
        };
        for (unsigned i = 0; i < 4; i++) {
            unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
            for (unsigned k = 0; k < 16; k++) {
                float x = number(row % 8 * 4 + k % 8 / 2, row / 8 + k / 8 * 2, k % 2);
                float y = number(column * 4 + k % 8 / 2, 4 + k / 8, k % 2);
                c[i] += x * y;
            }
        }
    });
}

extern "C" char __start_shared_memory[], __stop_shared_memory[];

inline void run_thread() {
    (*body)();
    Thread& thread = threads[current];
    thread.done = true;
    for (Barrier* barrier : {&block_barrier, &warp_barriers[current / 32]}) {
        barrier->alive--;
        barrier->release_if_complete();
    }
    switch_stacks(&thread.stack_pointer, scheduler);
}

// Lets a thread begin at `run_thread`, as if it had been left there.
inline void begin(Thread& thread, dim3 index) {
    thread.stack.resize(1 << 16);
    thread.index = index;
    thread.done = false;
    thread.barrier = nullptr;
    void** top = (void**)((uintptr_t)(thread.stack.data() + thread.stack.size()) / 16 * 16);
    *--top = nullptr;  // where a function returns to, which this one never does
    *--top = (void*)run_thread;
    thread.stack_pointer = top - 6;
}

// Runs a kernel; `seed` chooses the order of the threads, 0 is the order of their numbers.
inline void launch(dim3 grid, dim3 block, unsigned seed, const std::function<void()>& kernel) {
    unsigned n = block.x * block.y;
    threads.resize(n);
    told.resize((n + 32) * 8);
    std::vector<unsigned> order(n);
    for (unsigned i = 0; i < n; i++) order[i] = i;
    for (unsigned i = n; seed && 1 < i; i--) {
        seed = seed * 1664525u + 1013904223u;
        std::swap(order[i - 1], order[(seed >> 8) % i]);
    }
    body = &kernel;
    blockDim = block;
    for (unsigned number = 0; number < grid.x * grid.y; number++) {
        blockIdx = dim3(number % grid.x, number / grid.x);
        // NaN in either precision: a block begins with whatever another one left.
        memset(__start_shared_memory, 0xff, __stop_shared_memory - __start_shared_memory);
        block_barrier = Barrier();
        block_barrier.alive = n;
        warp_barriers.assign(n / 32 + 1, Barrier());
        for (unsigned i = 0; i < n; i++) {
            warp_barriers[i / 32].alive++;
            begin(threads[i], dim3(i % block.x, i / block.x));
        }
        while (block_barrier.alive) {
            bool any = false;
            for (unsigned i : order) {
                if (!threads[i].ready()) continue;
                any = true;
                current = i;
                threadIdx = threads[i].index;
                switch_stacks(&scheduler, threads[i].stack_pointer);
            }
            if (!any) {
                fprintf(stderr, "all threads wait\n");
                abort();
            }
        }
    }
}
