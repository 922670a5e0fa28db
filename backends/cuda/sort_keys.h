/* sort_keys.h: what sorting kernels exchange: the key of an element, and its position. The unsigned
 * order of the keys is the wanted order: NaN comes last, -0.0 equals 0.0, and all bits are
 * complemented for descending order. No two items are equal, so any network sorts them stably.
 * Elements of up to 4 bytes have key and position in one number. */
#ifndef LUC_CUDA_SORT_KEYS_H
#define LUC_CUDA_SORT_KEYS_H

#include "backends/cuda/platform.h"
#include "backends/cuda/view.h"
#include "lucid/core/dtype.h"

namespace luc
{

struct narrow_item {
    uint64_t bits; /* the key, and 32 bits of index */
};
struct wide_item {
    uint64_t key;
    uint64_t index;
};

__device__ inline bool before(narrow_item a, narrow_item b)
{
    return a.bits < b.bits;
}
__device__ inline bool before(wide_item a, wide_item b)
{
    return a.key < b.key || (a.key == b.key && a.index < b.index);
}
__device__ inline uint64_t key_of(narrow_item e)
{
    return e.bits >> 32;
}
__device__ inline uint64_t key_of(wide_item e)
{
    return e.key;
}
__device__ inline int64_t index_of(narrow_item e)
{
    return (int64_t)(e.bits & 0xffffffffu);
}
__device__ inline int64_t index_of(wide_item e)
{
    return (int64_t)e.index;
}
__device__ inline void set_item(narrow_item &e, uint64_t key, int64_t index)
{
    e.bits = key << 32 | (uint64_t)index;
}
__device__ inline void set_item(wide_item &e, uint64_t key, int64_t index)
{
    e.key = key;
    e.index = (uint64_t)index;
}
/* An item that comes after all others. */
__device__ inline void set_last(narrow_item &e)
{
    e.bits = ~0ull;
}
__device__ inline void set_last(wide_item &e)
{
    e.key = e.index = ~0ull;
}

/* The key of a float's bits. `sign` and `infinite`, the bits of its sign and of infinity, tell
 * which type of float it is. */
__device__ inline uint64_t float_key(uint64_t bits, uint64_t sign, uint64_t infinite)
{
    const uint64_t all = sign | (sign - 1), size = bits & ~sign;
    if (size > infinite) return all;
    if (size == 0) return sign;
    return bits & sign ? all & ~bits : bits | sign;
}

/* How kernels tell types apart at run time. */
struct sort_type {
    int size;                /* the bytes of an element */
    uint64_t sign, infinite; /* for floats; the sign alone for signed integers */
    bool floating;
    uint64_t turned; /* the bits by which keys are complemented */
};

inline sort_type sort_type_of(lucid_dtype dtype, bool descending)
{
    static const unsigned char sizes[LUCID_DTYPE_COUNT] = {4, 8, 2, 2, 8, 4, 1, 1};
    sort_type t = {};
    t.size = sizes[dtype];
    t.floating =
        dtype == LUCID_F32 || dtype == LUCID_F64 || dtype == LUCID_F16 || dtype == LUCID_BF16;
    if (dtype != LUCID_U8 && dtype != LUCID_BOOL) t.sign = 1ull << (8 * t.size - 1);
    t.infinite = dtype == LUCID_F64   ? 0x7ff0000000000000ull
                 : dtype == LUCID_F32 ? 0x7f800000u
                 : dtype == LUCID_F16 ? 0x7c00u
                                      : 0x7f80u;
    const uint64_t all = t.size == 8 ? ~0ull : (1ull << 8 * t.size) - 1;
    t.turned = descending ? all : 0;
    return t;
}

__device__ inline uint64_t load_bits(const sort_type &t, const char *x, int64_t at)
{
    switch (t.size) {
    case 1:
        return reinterpret_cast<const uint8_t *>(x)[at];
    case 2:
        return reinterpret_cast<const uint16_t *>(x)[at];
    case 4:
        return reinterpret_cast<const uint32_t *>(x)[at];
    default:
        return reinterpret_cast<const uint64_t *>(x)[at];
    }
}

__device__ inline void store_bits(const sort_type &t, char *y, int64_t at, uint64_t bits)
{
    switch (t.size) {
    case 1:
        reinterpret_cast<uint8_t *>(y)[at] = (uint8_t)bits;
        break;
    case 2:
        reinterpret_cast<uint16_t *>(y)[at] = (uint16_t)bits;
        break;
    case 4:
        reinterpret_cast<uint32_t *>(y)[at] = (uint32_t)bits;
        break;
    default:
        reinterpret_cast<uint64_t *>(y)[at] = bits;
    }
}

__device__ inline uint64_t to_key(const sort_type &t, uint64_t bits)
{
    const uint64_t key = t.floating ? float_key(bits, t.sign, t.infinite) : bits ^ t.sign;
    return key ^ t.turned;
}

/* The bits of the element. Keys do not tell zeros and NaNs apart, so the bits of these are read
 * from element `at` of x. */
__device__ inline uint64_t from_key(const sort_type &t, uint64_t key, const char *x, int64_t at)
{
    key ^= t.turned;
    if (!t.floating) return key ^ t.sign;
    const uint64_t all = t.sign | (t.sign - 1);
    if (key == t.sign || key == all) return load_bits(t, x, at);
    return key & t.sign ? key & ~t.sign : all & ~key;
}

} // namespace luc

#endif
