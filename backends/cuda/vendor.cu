/* vendor.cu: opens NVIDIA's libraries, and counts the calls that they take. */
#include "backends/cuda/vendor.h"

#include <atomic>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

namespace luc
{

static const char *const names[] = {"cuBLASLt", "cuDNN"};
static const char *const switch_names[] = {"LUCID_CUBLASLT", "LUCID_CUDNN"};
static std::atomic<long> taken[2], left[2];

static bool is_verbose()
{
    static const bool on = [] {
        const char *s = getenv("LUCID_CUDA_VERBOSE");
        return s && *s && *s != '0';
    }();
    return on;
}

static void tell_counts()
{
    for (int i = 0; i < 2; i++)
        fprintf(stderr, "lucid: %s computed %ld calls, lucid's own kernels %ld\n", names[i],
                taken[i].load(), left[i].load());
}

void *open_library(library which, const char *const *list)
{
    static std::atomic<bool> told;
    if (is_verbose() && !told.exchange(true)) atexit(tell_counts);
    const char *s = getenv(switch_names[which]);
    if (s && *s == '0') {
        if (is_verbose())
            fprintf(stderr, "lucid: %s is off (%s=0)\n", names[which], switch_names[which]);
        return nullptr;
    }
    for (; *list; list++)
        if (void *opened = dlopen(*list, RTLD_NOW | RTLD_LOCAL)) return opened;
    if (is_verbose()) fprintf(stderr, "lucid: %s cannot be loaded: %s\n", names[which], dlerror());
    return nullptr;
}

void count_call(library which, const char *why)
{
    static std::atomic<bool> told[2];
    (why ? left : taken)[which]++;
    if (why && is_verbose() && !told[which].exchange(true))
        fprintf(stderr, "lucid: own kernels in place of %s, for the first time: %s\n", names[which],
                why);
}

} // namespace luc
