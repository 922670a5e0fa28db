/* dtype.h: element types of the device and their conversion.
 *
 * 16-bit floats are stored in structs of their own, and computations use float: `widen` and
 * `narrow` convert to and from the type in which T is computed. `convert` converts any type to any
 * other by the CPU's rules (lucid_cast). */
#ifndef LUC_CUDA_DTYPE_H
#define LUC_CUDA_DTYPE_H

#include "backends/cuda/platform.h"
#include "lucid/core/dtype.h"

#include <string.h>

namespace luc
{

struct f16 {
    uint16_t bits;
};
struct bf16 {
    uint16_t bits;
};
struct boolean { /* one byte, 0 or 1 */
    uint8_t value;
};

__host__ __device__ inline float to_float(f16 x)
{
#ifdef __CUDA_ARCH__
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
#else
    uint32_t sign = (uint32_t)(x.bits & 0x8000u) << 16, rest = x.bits & 0x7fffu, u;
    if (rest >= 0x7c00u) {
        u = sign | 0x7f800000u | (rest & 0x3ffu) << 13;
    } else {
        /* for normal and subnormal numbers alike: scale by 2^112 as a float */
        float f;
        u = rest << 13;
        memcpy(&f, &u, 4);
        f *= 0x1p112f;
        memcpy(&u, &f, 4);
        u |= sign;
    }
    float y;
    memcpy(&y, &u, 4);
    return y;
#endif
}

__host__ __device__ inline float to_float(bf16 x)
{
    uint32_t u = (uint32_t)x.bits << 16;
#ifdef __CUDA_ARCH__
    return __uint_as_float(u);
#else
    float y;
    memcpy(&y, &u, 4);
    return y;
#endif
}

/* Rounds to nearest even; a NaN stays a NaN. */
__host__ __device__ inline f16 to_f16(float x)
{
    f16 y;
#ifdef __CUDA_ARCH__
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
#else
    uint32_t u;
    memcpy(&u, &x, 4);
    uint32_t sign = u >> 16 & 0x8000u, rest = u & 0x7fffffffu;
    if (rest > 0x7f800000u) {
        y.bits = 0x7fff;
    } else if (rest >= 0x477ff000u) { /* for 65520 and more */
        y.bits = (uint16_t)(sign | 0x7c00u);
    } else if (rest < 0x38800000u) { /* subnormal below 2^-14: the addition rounds it */
        float f, half = 0.5f;
        memcpy(&f, &rest, 4);
        f += half;
        memcpy(&rest, &f, 4);
        y.bits = (uint16_t)(sign | (rest - 0x3f000000u));
    } else {
        rest += 0xfffu + (rest >> 13 & 1u);
        y.bits = (uint16_t)(sign | ((rest - 0x38000000u) >> 13));
    }
#endif
    return y;
}

__host__ __device__ inline bf16 to_bf16(float x)
{
    bf16 y;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
#else
    uint32_t u;
    memcpy(&u, &x, 4);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        y.bits = 0x7fff;
    else
        y.bits = (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
#endif
    return y;
}

/* The type in which T is computed. */
template <class T> struct compute_of {
    typedef T type;
};
template <> struct compute_of<f16> {
    typedef float type;
};
template <> struct compute_of<bf16> {
    typedef float type;
};
template <> struct compute_of<boolean> {
    typedef uint8_t type;
};
template <class T> using compute_t = typename compute_of<T>::type;
template <class T> constexpr bool is_bf16 = false;
template <> constexpr bool is_bf16<bf16> = true;

template <class T> __host__ __device__ inline compute_t<T> widen(T x)
{
    return x;
}
template <> __host__ __device__ inline float widen<f16>(f16 x)
{
    return to_float(x);
}
template <> __host__ __device__ inline float widen<bf16>(bf16 x)
{
    return to_float(x);
}
template <> __host__ __device__ inline uint8_t widen<boolean>(boolean x)
{
    return x.value;
}

template <class T> __host__ __device__ inline T narrow(compute_t<T> x)
{
    return x;
}
template <> __host__ __device__ inline f16 narrow<f16>(float x)
{
    return to_f16(x);
}
template <> __host__ __device__ inline bf16 narrow<bf16>(float x)
{
    return to_bf16(x);
}
template <> __host__ __device__ inline boolean narrow<boolean>(uint8_t x)
{
    return boolean{(uint8_t)(x != 0)};
}

/* T from a double or an int64, as the CPU casts. Floats are cut towards zero when they become
 * integers. A number that does not fit becomes the smallest integer (for u8: the low 8 bits of the
 * int64). 16-bit floats are converted to float first. */
__host__ __device__ inline int64_t cut_i64(double x)
{
    return x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : INT64_MIN;
}
template <class T> struct convert_to;
template <> struct convert_to<float> {
    template <class F> __host__ __device__ static float from(F x)
    {
        return (float)x;
    }
};
template <> struct convert_to<double> {
    template <class F> __host__ __device__ static double from(F x)
    {
        return (double)x;
    }
};
template <> struct convert_to<f16> {
    template <class F> __host__ __device__ static f16 from(F x)
    {
        return to_f16((float)x);
    }
};
template <> struct convert_to<bf16> {
    template <class F> __host__ __device__ static bf16 from(F x)
    {
        return to_bf16((float)x);
    }
};
template <> struct convert_to<int64_t> {
    __host__ __device__ static int64_t from(double x)
    {
        return cut_i64(x);
    }
    __host__ __device__ static int64_t from(int64_t x)
    {
        return x;
    }
};
template <> struct convert_to<int32_t> {
    __host__ __device__ static int32_t from(double x)
    {
        return x > -2147483649.0 && x < 0x1p31 ? (int32_t)x : INT32_MIN;
    }
    __host__ __device__ static int32_t from(int64_t x)
    {
        return (int32_t)x;
    }
};
template <> struct convert_to<uint8_t> {
    __host__ __device__ static uint8_t from(double x)
    {
        return (uint8_t)cut_i64(x);
    }
    __host__ __device__ static uint8_t from(int64_t x)
    {
        return (uint8_t)x;
    }
};
template <> struct convert_to<boolean> {
    template <class F> __host__ __device__ static boolean from(F x)
    {
        return boolean{(uint8_t)(x != 0)};
    }
};
template <class T, class F> __host__ __device__ inline T convert(F x)
{
    return convert_to<T>::from(x);
}

/* The lucid_dtype of a type. */
template <class T> struct dtype_of;
template <> struct dtype_of<float> {
    enum { value = LUCID_F32 };
};
template <> struct dtype_of<double> {
    enum { value = LUCID_F64 };
};
template <> struct dtype_of<f16> {
    enum { value = LUCID_F16 };
};
template <> struct dtype_of<bf16> {
    enum { value = LUCID_BF16 };
};
template <> struct dtype_of<int64_t> {
    enum { value = LUCID_I64 };
};
template <> struct dtype_of<int32_t> {
    enum { value = LUCID_I32 };
};
template <> struct dtype_of<uint8_t> {
    enum { value = LUCID_U8 };
};
template <> struct dtype_of<boolean> {
    enum { value = LUCID_BOOL };
};

} // namespace luc

/* Sets table[op][dtype].run = function<T> for the four floating types, and for all. */
#define LUC_FLOATS(b, op, function)                                 \
    (b->kernels[LUCID_OP_##op][LUCID_F32].run = function<float>,    \
     b->kernels[LUCID_OP_##op][LUCID_F64].run = function<double>,   \
     b->kernels[LUCID_OP_##op][LUCID_F16].run = function<luc::f16>, \
     b->kernels[LUCID_OP_##op][LUCID_BF16].run = function<luc::bf16>)
#define LUC_INTEGERS(b, op, function)                              \
    (b->kernels[LUCID_OP_##op][LUCID_I64].run = function<int64_t>, \
     b->kernels[LUCID_OP_##op][LUCID_I32].run = function<int32_t>, \
     b->kernels[LUCID_OP_##op][LUCID_U8].run = function<uint8_t>)
#define LUC_ALL_DTYPES(b, op, function)                          \
    (LUC_FLOATS(b, op, function), LUC_INTEGERS(b, op, function), \
     b->kernels[LUCID_OP_##op][LUCID_BOOL].run = function<luc::boolean>)

#endif
