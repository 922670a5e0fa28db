/* elementwise_unary.cu: operations of one tensor. */
#include "backends/cuda/elementwise.h"
#include "backends/cuda/elementwise_math.h"

namespace luc
{

namespace
{

/* Cases of one operation that are operations of their own here, besides those of core/ops.def. */
enum { op_gelu_tanh = LUCID_OP_COUNT, op_cube, op_one };

#define CASE(code, expression)        \
    case code:                        \
        LUC_UNROLL                    \
        for (int j = 0; j < W; j++) { \
            const C x = in[j];        \
            y[j] = (expression);      \
        }                             \
        return

template <class T, int W, class C>
__device__ __forceinline__ void floating_unary(int op, const C (&in)[W], C (&y)[W],
                                               const numbers<T> &k)
{
    switch (op) {
#define UNARY(name, expression) CASE(LUCID_OP_##name, expression);
#include "backends/cuda/elementwise.def"
        CASE(op_gelu_tanh, x * sigmoid<T>(gelu_slope<T>(x)));
        CASE(op_cube, x * x * x);
        CASE(op_one, (void(x), C(1)));
    case LUCID_OP_pow_scalar: /* only `strided` is compiled for it */
        if constexpr (W == 1) y[0] = pow(in[0], k.a);
        return;
    default:
        return;
    }
}

#define U(x) ((uint64_t)(x))
template <class T, int W, class C>
__device__ __forceinline__ void integer_unary(int op, const C (&in)[W], C (&y)[W],
                                              const numbers<T> &k)
{
    switch (op) {
        CASE(LUCID_OP_neg, (C)(0 - U(x)));
        CASE(LUCID_OP_abs, (C)(U(x) >> 63 ? 0 - U(x) : U(x)));
        CASE(LUCID_OP_sign, (C)((x > 0) - (int)(U(x) >> 63)));
        CASE(LUCID_OP_square, (C)(U(x) * U(x)));
        CASE(LUCID_OP_relu, x > 0 ? x : C(0));
        CASE(LUCID_OP_clamp, (C)(x > k.b || k.a > k.b ? k.b : x < k.a ? k.a : x));
        CASE(LUCID_OP_add_scalar, (C)(U(x) + U(k.a)));
        CASE(LUCID_OP_mul_scalar, (C)(U(x) * U(k.a)));
    case LUCID_OP_pow_scalar:
        if constexpr (W == 1) y[0] = (C)int_pow(U(in[0]), k.a, (int64_t)in[0] == -1);
        return;
    default:
        return;
    }
}
#undef U
#undef CASE

template <int OP> struct one {
    enum { n_in = 1 };
    template <class T, int W, class C>
    static __device__ __forceinline__ void run(int op, const C (&x)[1][W], C (&y)[W],
                                               const numbers<T> &k)
    {
        if constexpr (is_floating<T>::value)
            floating_unary<T>(OP == any ? op : OP, x[0], y, k);
        else
            integer_unary<T>(op, x[0], y, k);
    }
};

struct nan_test {
    enum { n_in = 1 };
    template <class T, int W, class C>
    static __device__ __forceinline__ void run(int, const C (&x)[1][W], uint8_t (&y)[W],
                                               const numbers<T> &)
    {
        for (int j = 0; j < W; j++) y[j] = x[0][j] != x[0][j];
    }
};

/* The operation as this file computes it. */
template <class T> int code_of(const call &c)
{
    const lucid_op_id op = c.args->op;
    if (!is_floating<T>::value) return op;
    if (op == LUCID_OP_gelu) return c.attrs<lucid_gelu_attrs>()->tanh ? (int)op_gelu_tanh : (int)op;
    if (op != LUCID_OP_pow_scalar) return op;
    static const struct {
        double exponent;
        int code;
    } simple[] = {{0, op_one},  {0.5, LUCID_OP_sqrt},      {2, LUCID_OP_square},
                  {3, op_cube}, {-1, LUCID_OP_reciprocal}, {-0.5, LUCID_OP_rsqrt}};
    for (const auto &s : simple)
        if (c.attrs<lucid_scalar_attrs>()->value == s.exponent) return s.code;
    return op;
}

/* The operations that have a kernel of their own, and the number of packs that a thread loads at
 * once. */
template <class T>
bool hot_unary(const call &c, int op, T *y, const inputs<T, 1> &in, int64_t n, const numbers<T> &k,
               bool *found)
{
#define HOT(op, packs) \
    case op:           \
        return launch_dense<one<op>, packs>(c, y, in, n, op, k)
    *found = true;
    switch (op) {
#define UNARY(name, expression)
#define HOT_UNARY(name, packs, expression) HOT(LUCID_OP_##name, packs);
#include "backends/cuda/elementwise.def"
        HOT(op_gelu_tanh, 2);
    default:
        *found = false;
        return true;
    }
#undef HOT
}

template <class T> bool unary_kernel(const lucid_kernel_args *args)
{
    call c(args);
    walk<2> w = make_walk<2>({c.out(0), c.in(0)});
    if (w.n == 0) return true;
    if (!c.device) return false;
    T *y = static_cast<T *>(c.out(0)->data);
    inputs<T, 1> in = {{static_cast<const T *>(c.in(0)->data)}, {false}};
    const numbers<T> k = numbers_of<T>(c);
    const int op = code_of<T>(c);
    if (op == LUCID_OP_pow_scalar || !is_dense<T, T, 1>(w, y, &in))
        return launch_strided<one<any>>(c, y, in, w, op, k);
    if constexpr (is_floating<T>::value && !is_double<T>::value) {
        bool found;
        bool fine = hot_unary<T>(c, op, y, in, w.n, k, &found);
        if (found) return fine;
    }
    return launch_dense<one<any>, 1>(c, y, in, w.n, op, k);
}

template <class T> bool isnan_kernel(const lucid_kernel_args *args)
{
    call c(args);
    walk<2> w = make_walk<2>({c.out(0), c.in(0)});
    if (w.n == 0) return true;
    if (!c.device) return false;
    boolean *y = static_cast<boolean *>(c.out(0)->data);
    inputs<T, 1> in = {{static_cast<const T *>(c.in(0)->data)}, {false}};
    const numbers<T> k = {};
    if (is_dense<boolean, T, 1>(w, y, &in)) return launch_dense<nan_test, 1>(c, y, in, w.n, any, k);
    return launch_strided<nan_test>(c, y, in, w, any, k);
}

} // namespace

void register_elementwise_unary(lucid_backend *b)
{
#define UNARY(name, expression) LUC_FLOATS(b, name, unary_kernel);
#include "backends/cuda/elementwise.def"
    LUC_FLOATS(b, pow_scalar, unary_kernel);
    LUC_INTEGERS(b, neg, unary_kernel);
    LUC_INTEGERS(b, abs, unary_kernel);
    LUC_INTEGERS(b, sign, unary_kernel);
    LUC_INTEGERS(b, square, unary_kernel);
    LUC_INTEGERS(b, relu, unary_kernel);
    LUC_INTEGERS(b, clamp, unary_kernel);
    LUC_INTEGERS(b, add_scalar, unary_kernel);
    LUC_INTEGERS(b, mul_scalar, unary_kernel);
    LUC_INTEGERS(b, pow_scalar, unary_kernel);
    LUC_ALL_DTYPES(b, isnan, isnan_kernel);
    /* abs, sign and relu of a bool are the bool itself, which is what relu of bytes gives. */
    static const lucid_op_id same[] = {LUCID_OP_abs, LUCID_OP_sign, LUCID_OP_relu, LUCID_OP_square,
                                       LUCID_OP_clamp};
    for (lucid_op_id op : same) b->kernels[op][LUCID_BOOL].run = unary_kernel<boolean>;
}

} // namespace luc
