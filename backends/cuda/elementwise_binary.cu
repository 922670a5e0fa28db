/* elementwise_binary.cu: operations of two tensors, among them derivatives, whose first operand is
 * the gradient of the output. */
#include "backends/cuda/elementwise.h"
#include "backends/cuda/elementwise_math.h"

namespace luc
{

namespace
{

enum { op_gelu_tanh_backward = LUCID_OP_COUNT };

#define CASE(code, expression)                  \
    case code:                                  \
        LUC_UNROLL                              \
        for (int j = 0; j < W; j++) {           \
            const C a = in[0][j], b = in[1][j]; \
            y[j] = (expression);                \
        }                                       \
        return

template <class T, int W, class C>
__device__ __forceinline__ void floating_binary(int op, const C (&in)[2][W], C (&y)[W],
                                                const numbers<T> &k)
{
    switch (op) {
#define BINARY(name, expression) CASE(LUCID_OP_##name, expression);
#include "backends/cuda/elementwise.def"
        CASE(op_gelu_tanh_backward, a * gelu_tanh_derivative<T>(b));
    case LUCID_OP_pow: /* only `strided` is compiled for it */
        if constexpr (W == 1) y[0] = pow(in[0][0], in[1][0]);
        return;
    default:
        return;
    }
}

#define U(x) ((uint64_t)(x))
template <class T, int W, class C>
__device__ __forceinline__ void integer_binary(int op, const C (&in)[2][W], C (&y)[W])
{
    const bool is_bool = (int)dtype_of<T>::value == (int)LUCID_BOOL;
    switch (op) {
        CASE(LUCID_OP_add, is_bool ? (C)(a | b) : (C)(U(a) + U(b)));
        CASE(LUCID_OP_sub, (C)(U(a) - U(b)));
        CASE(LUCID_OP_mul, (C)(U(a) * U(b)));
        CASE(LUCID_OP_minimum, b < a ? b : a);
        CASE(LUCID_OP_maximum, b > a ? b : a);
        CASE(LUCID_OP_relu_backward, b > 0 ? a : C(0));
    case LUCID_OP_pow:
        if constexpr (W == 1)
            y[0] = is_bool ? (C)(in[0][0] | !in[1][0])
                           : (C)int_pow(U(in[0][0]), (int64_t)in[1][0], (int64_t)in[0][0] == -1);
        return;
    default:
        return;
    }
}
#undef U

template <int OP> struct two {
    enum { n_in = 2 };
    template <class T, int W, class C>
    static __device__ __forceinline__ void run(int op, const C (&x)[2][W], C (&y)[W],
                                               const numbers<T> &k)
    {
        if constexpr (is_floating<T>::value)
            floating_binary<T>(OP == any ? op : OP, x, y, k);
        else
            integer_binary<T>(op, x, y);
    }
};

struct comparison {
    enum { n_in = 2 };
    template <class T, int W, class C>
    static __device__ __forceinline__ void run(int op, const C (&in)[2][W], uint8_t (&y)[W],
                                               const numbers<T> &)
    {
        switch (op) {
            CASE(LUCID_OP_eq, a == b);
            CASE(LUCID_OP_ne, a != b);
            CASE(LUCID_OP_lt, a < b);
            CASE(LUCID_OP_le, a <= b);
            CASE(LUCID_OP_gt, a > b);
            CASE(LUCID_OP_ge, a >= b);
        default:
            return;
        }
    }
};
#undef CASE

/* The operations that have a kernel of their own. A thread has four loads in flight. */
template <class T>
bool hot_binary(const call &c, int op, T *y, const inputs<T, 2> &in, int64_t n, const numbers<T> &k,
                bool *found)
{
#define HOT(op) \
    case op:    \
        return launch_dense<two<op>, 2>(c, y, in, n, op, k)
    *found = true;
    switch (op) {
#define BINARY(name, expression)
#define HOT_BINARY(name, expression) HOT(LUCID_OP_##name);
#include "backends/cuda/elementwise.def"
        HOT(op_gelu_tanh_backward);
    default:
        *found = false;
        return true;
    }
#undef HOT
}

template <class T>
bool hot_broadcast(const call &c, int op, T *y, const inputs<T, 2> &in, const walk<3> &w,
                   const numbers<T> &k, bool *found)
{
    *found = is_gapless(w, 0) && is_aligned(y, 16);
    if (!*found) return true;
    switch (op) {
    case LUCID_OP_add:
        return launch_broadcast<two<LUCID_OP_add>>(c, y, in, w, k);
    case LUCID_OP_sub:
        return launch_broadcast<two<LUCID_OP_sub>>(c, y, in, w, k);
    case LUCID_OP_mul:
        return launch_broadcast<two<LUCID_OP_mul>>(c, y, in, w, k);
    case LUCID_OP_div:
        return launch_broadcast<two<LUCID_OP_div>>(c, y, in, w, k);
    default:
        *found = false;
        return true;
    }
}

template <class T> bool binary_kernel(const lucid_kernel_args *args)
{
    call c(args);
    walk<3> w = make_walk<3>({c.out(0), c.in(0), c.in(1)});
    if (w.n == 0) return true;
    if (!c.device) return false;
    T *y = static_cast<T *>(c.out(0)->data);
    inputs<T, 2> in = {
        {static_cast<const T *>(c.in(0)->data), static_cast<const T *>(c.in(1)->data)},
        {false, false}};
    const numbers<T> k = numbers_of<T>(c);
    int op = args->op;
    if (op == LUCID_OP_gelu_backward && c.attrs<lucid_gelu_attrs>()->tanh)
        op = op_gelu_tanh_backward;
    const bool is_plain = op != LUCID_OP_pow && is_dense<T, T, 2>(w, y, &in);
    if constexpr (is_floating<T>::value && !is_double<T>::value) {
        bool found;
        bool fine = is_plain ? hot_binary<T>(c, op, y, in, w.n, k, &found)
                             : hot_broadcast<T>(c, op, y, in, w, k, &found);
        if (found) return fine;
    }
    if (is_plain) return launch_dense<two<any>, 1>(c, y, in, w.n, op, k);
    return launch_strided<two<any>>(c, y, in, w, op, k);
}

template <class T> bool compare_kernel(const lucid_kernel_args *args)
{
    call c(args);
    walk<3> w = make_walk<3>({c.out(0), c.in(0), c.in(1)});
    if (w.n == 0) return true;
    if (!c.device) return false;
    boolean *y = static_cast<boolean *>(c.out(0)->data);
    inputs<T, 2> in = {
        {static_cast<const T *>(c.in(0)->data), static_cast<const T *>(c.in(1)->data)},
        {false, false}};
    const numbers<T> k = {};
    if (is_dense<boolean, T, 2>(w, y, &in))
        return launch_dense<comparison, 1>(c, y, in, w.n, args->op, k);
    return launch_strided<comparison>(c, y, in, w, args->op, k);
}

} // namespace

void register_elementwise_binary(lucid_backend *b)
{
#define BINARY(name, expression) LUC_FLOATS(b, name, binary_kernel);
#include "backends/cuda/elementwise.def"
    LUC_ALL_DTYPES(b, add, binary_kernel);
    LUC_ALL_DTYPES(b, mul, binary_kernel);
    LUC_ALL_DTYPES(b, pow, binary_kernel);
    LUC_ALL_DTYPES(b, minimum, binary_kernel);
    LUC_ALL_DTYPES(b, maximum, binary_kernel);
    LUC_ALL_DTYPES(b, relu_backward, binary_kernel);
    LUC_INTEGERS(b, sub, binary_kernel);
    LUC_ALL_DTYPES(b, eq, compare_kernel);
    LUC_ALL_DTYPES(b, ne, compare_kernel);
    LUC_ALL_DTYPES(b, lt, compare_kernel);
    LUC_ALL_DTYPES(b, le, compare_kernel);
    LUC_ALL_DTYPES(b, gt, compare_kernel);
    LUC_ALL_DTYPES(b, ge, compare_kernel);
}

} // namespace luc
