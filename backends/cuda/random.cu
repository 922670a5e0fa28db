/* random.cu: uniform, normal, randint and bernoulli. The numbers are those of
 * backends/cpu/random/random.c, which says which element takes which number of Philox. They are the
 * same to the last bit, except for normal in float64, where the C library's logarithm, sine and
 * cosine differ.
 *
 * A thread makes a pack of neighbouring elements and stores it at once. float32 and wider types are
 * bound by memory, and 16-bit types by the integer products of Philox. */
#include "backends/cuda/cuda_priv.h"
#include "backends/cuda/dtype.h"
#include "backends/cuda/philox.h"
#include "backends/cuda/view.h"

#include <math.h>

namespace luc
{

namespace
{

enum { block_threads = 256 };

/* The numbers of a call, in the form that each kind needs. */
struct draw {
    double a, b, last; /* last, of uniform: the largest number below b */
    float fa, fb, flast;
    int64_t low;
    uint64_t range, limit;
};

/* The elements that a thread makes: a store of 16 bytes (8 for bytes), and not less than a block of
 * Philox. */
template <class T, int Each> struct pack_size {
    enum { natural = sizeof(T) == 1 ? 8 : 16 / sizeof(T), least = 4 / Each };
    enum { value = (int)natural > (int)least ? (int)natural : (int)least };
};

__device__ inline uint64_t wide(const uint32_t *bits)
{
    return (uint64_t)bits[0] << 32 | bits[1];
}
__device__ inline double unit(const uint32_t *bits) /* [0, 1) */
{
    return (double)(wide(bits) >> 11) * 0x1p-53;
}

/* float and the 16-bit types use all bits that they can hold exactly */
struct uniform_narrow {
    enum { each = 1 };
    template <class T, int E>
    static __device__ void make(const uint32_t (&bits)[E], T (&y)[E], const draw &d)
    {
        const bool half = (int)dtype_of<T>::value == (int)LUCID_F16, full = sizeof(T) == 4;
        const int shift = full ? 8 : half ? 21 : 24;
        const float scale = full ? 0x1p-24f : half ? 0x1p-11f : 0x1p-8f;
        const float width = __fadd_rn(d.fb, -d.fa);
        for (int i = 0; i < E; i++) {
            float u = (float)(int32_t)(bits[i] >> shift) * scale;
            float x = __fadd_rn(d.fa, __fmul_rn(width, u));
            if (full) x = x < d.flast ? x : d.flast;
            y[i] = narrow<T>(x);
            if (!full && widen(y[i]) >= d.fb) y[i] = narrow<T>(d.fa);
        }
    }
};

struct uniform_wide {
    enum { each = 2 };
    template <int E>
    static __device__ void make(const uint32_t (&bits)[2 * E], double (&y)[E], const draw &d)
    {
        for (int i = 0; i < E; i++) {
            double x = __dadd_rn(d.a, __dmul_rn(__dadd_rn(d.b, -d.a), unit(bits + 2 * i)));
            y[i] = x < d.last ? x : d.last;
        }
    }
};

/* log(x) for x in [2^-32, 1], and cos and sin of 2 pi turn / 2^32. Every step is one rounding,
 * which the CPU makes too. */
__device__ inline float log_same(float x)
{
    int32_t bits = (int32_t)__float_as_uint(x) + (0x3f800000 - 0x3f3504f3);
    float e = (float)((bits >> 23) - 127);
    float m = __uint_as_float((uint32_t)((bits & 0x7fffff) + 0x3f3504f3));
    float f = __fadd_rn(m, -1.0f), s = __fdiv_rn(f, __fadd_rn(f, 2.0f)), z = __fmul_rn(s, s);
    float p = 0.2361066072f;
    p = __fmaf_rn(p, z, 0.2853588453f);
    p = __fmaf_rn(p, z, 0.400003562f);
    p = __fmul_rn(z, __fmaf_rn(p, z, 0.6666666556f));
    float h = __fmul_rn(__fmul_rn(f, f), 0.5f);
    float low = __fmaf_rn(s, __fadd_rn(h, p), __fmul_rn(e, 1.42860682030941723e-6f));
    return __fmaf_rn(e, 0x1.62e4p-1f, __fadd_rn(f, -__fadd_rn(h, -low)));
}

__device__ inline void cos_sin(uint32_t turn, float *c, float *s)
{
    uint32_t quarter = (turn + (1u << 29)) >> 30;
    float t = __fmul_rn((float)(int32_t)(turn - (quarter << 30)), 1.46291807926715968e-9f);
    float z = __fmul_rn(t, t);
    float p = __fmaf_rn(-0.0001951722886f, z, 0.008332177683f);
    p = __fmaf_rn(p, z, -0.1666665494f);
    p = __fmaf_rn(p, __fmul_rn(z, t), t);
    float q = __fmaf_rn(2.443840653e-5f, z, -0.001388736733f);
    q = __fmaf_rn(q, z, 0.04166664687f);
    q = __fmaf_rn(q, __fmul_rn(z, z), __fmaf_rn(-z, 0.5f, 1.0f));
    bool swap = quarter & 1;
    uint32_t sin_sign = (quarter & 2) << 30, cos_sign = ((quarter + 1) & 2) << 30;
    *c = __uint_as_float(__float_as_uint(swap ? p : q) ^ cos_sign);
    *s = __uint_as_float(__float_as_uint(swap ? q : p) ^ sin_sign);
}

struct normal_narrow { /* Box and Muller's method, in float */
    enum { each = 1 };
    template <class T, int E>
    static __device__ void make(const uint32_t (&bits)[E], T (&y)[E], const draw &d)
    {
        for (int i = 0; i < E; i += 2) {
            float x = __fmaf_rn((float)(int32_t)(bits[i] >> 1), 0x1p-31f, 0x1p-32f), c, s;
            float r = __fsqrt_rn(__fmul_rn(-2.0f, log_same(x)));
            cos_sin(bits[i + 1], &c, &s);
            r = __fmul_rn(r, d.fb);
            y[i] = narrow<T>(__fmaf_rn(r, c, d.fa));
            y[i + 1] = narrow<T>(__fmaf_rn(r, s, d.fa));
        }
    }
};

struct normal_wide {
    enum { each = 2 };
    template <int E>
    static __device__ void make(const uint32_t (&bits)[2 * E], double (&y)[E], const draw &d)
    {
        for (int i = 0; i < E; i += 2) {
            double u = unit(bits + 2 * i) + 0x1p-53;
            double t = 6.28318530717958647693 * unit(bits + 2 * i + 2);
            double r = sqrt(-2 * log(u)) * d.b;
            y[i] = d.a + r * cos(t);
            y[i + 1] = d.a + r * sin(t);
        }
    }
};

struct integers {
    enum { each = 2 };
    template <class T, int E>
    static __device__ void make(const uint32_t (&bits)[2 * E], T (&y)[E], const draw &d)
    {
        for (int i = 0; i < E; i++) {
            uint64_t below = __umul64hi(wide(bits + 2 * i), d.range);
            y[i] = convert<T>((int64_t)((uint64_t)d.low + below));
        }
    }
};

struct coins {
    enum { each = 1 };
    template <class T, int E>
    static __device__ void make(const uint32_t (&bits)[E], T (&y)[E], const draw &d)
    {
        for (int i = 0; i < E; i++) y[i] = convert<T>((int64_t)(bits[i] < d.limit));
    }
};

/* ---- the kernel ----------------------------------------------------------------------------- */

/* The walk is in row-major order. */
template <class G, class T>
__global__ void __launch_bounds__(block_threads)
    fill_random(T *y, walk<1> w, bool in_packs, stream_of_numbers numbers, draw d)
{
    enum { E = pack_size<T, G::each>::value, N = E * G::each };
    const int64_t step = (int64_t)gridDim.x * block_threads;
    const uint64_t key = numbers.key(), offset = numbers.first();
    for (int64_t i = (int64_t)blockIdx.x * block_threads + threadIdx.x; i * E < w.n; i += step) {
        uint32_t bits[N];
        pack<T, E> out;
        LUC_UNROLL
        for (int k = 0; k < N; k += 4)
            philox(key, offset + (uint64_t)(i * (N / 4) + k / 4), bits + k);
        G::make(bits, out.v, d);
        if (in_packs && (i + 1) * E <= w.n) {
            reinterpret_cast<pack<T, E> *>(y)[i] = out;
            continue;
        }
        LUC_UNROLL
        for (int k = 0; k < E; k++) {
            int64_t at[1];
            if (i * E + k >= w.n) break;
            w.offsets(i * E + k, at);
            y[at[0]] = out.v[k];
        }
    }
}

template <class G, class T> bool random_kernel(const lucid_kernel_args *args)
{
    enum { E = pack_size<T, G::each>::value };
    call c(args);
    const lucid_random_attrs *a = c.attrs<lucid_random_attrs>();
    walk<1> w = make_walk<1>({c.out(0)}, true);
    if (w.n == 0) return true;
    draw d = {a->a, a->b, nextafter(a->b, a->a), (float)a->a, (float)a->b, 0, a->low, 0, 0};
    d.flast = nextafterf(d.fb, d.fa);
    d.range = (uint64_t)a->high - (uint64_t)a->low;
    if (args->op == LUCID_OP_bernoulli) d.limit = (uint64_t)(a->a * 0x1p32);
    T *y = static_cast<T *>(c.out(0)->data);
    return c.launch(fill_random<G, T>, c.blocks_for(ceil_div(w.n, E), block_threads), block_threads,
                    0, y, w, w.contiguous && is_aligned(y, sizeof(pack<T, E>)),
                    stream_of_numbers(a), d);
}

} // namespace

void register_random(lucid_backend *b)
{
#define SLOT(op, dtype) b->kernels[LUCID_OP_##op][LUCID_##dtype].run
    SLOT(uniform, F32) = random_kernel<uniform_narrow, float>;
    SLOT(uniform, F16) = random_kernel<uniform_narrow, f16>;
    SLOT(uniform, BF16) = random_kernel<uniform_narrow, bf16>;
    SLOT(uniform, F64) = random_kernel<uniform_wide, double>;
    SLOT(normal, F32) = random_kernel<normal_narrow, float>;
    SLOT(normal, F16) = random_kernel<normal_narrow, f16>;
    SLOT(normal, BF16) = random_kernel<normal_narrow, bf16>;
    SLOT(normal, F64) = random_kernel<normal_wide, double>;
#define EVERY(op, G)                           \
    SLOT(op, F32) = random_kernel<G, float>;   \
    SLOT(op, F64) = random_kernel<G, double>;  \
    SLOT(op, F16) = random_kernel<G, f16>;     \
    SLOT(op, BF16) = random_kernel<G, bf16>;   \
    SLOT(op, I64) = random_kernel<G, int64_t>; \
    SLOT(op, I32) = random_kernel<G, int32_t>; \
    SLOT(op, U8) = random_kernel<G, uint8_t>;  \
    SLOT(op, BOOL) = random_kernel<G, boolean>
    EVERY(randint, integers);
    EVERY(bernoulli, coins);
#undef EVERY
#undef SLOT
}

} // namespace luc
