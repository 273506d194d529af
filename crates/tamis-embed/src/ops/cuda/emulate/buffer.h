// Buffers for kernels that run on the CPU: see scripts/cuda-emulate.sh.

#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <vector>

// Memory between two pages that nothing may touch.
template <typename T>
struct Buffer {
    T* data;
    size_t n;

    explicit Buffer(size_t n) : n(n) {
        size_t page = sysconf(_SC_PAGESIZE), pages = (n * sizeof(T) + page - 1) / page;
        size = (pages + 2) * page;
        mapped = (char*)mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        mprotect(mapped, page, PROT_NONE);
        mprotect(mapped + (pages + 1) * page, page, PROT_NONE);
        data = (T*)(mapped + (pages + 1) * page - n * sizeof(T));
        memset((void*)data, 0xff, n * sizeof(T));
    }
    Buffer(const std::vector<T>& values) : Buffer(values.size()) {
        if (n) memcpy((void*)data, values.data(), n * sizeof(T));
    }
    Buffer(const Buffer&) = delete;
    ~Buffer() { munmap(mapped, size); }

  private:
    char* mapped;
    size_t size;
};
