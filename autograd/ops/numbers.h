/* numbers.h: operators that take a number instead of a tensor: lucid_mul(x, 2).
 *
 * A number takes the dtype of the tensor that it is combined with, as in PyTorch. An argument that
 * is neither a tensor nor a number does not compile. The names are macros over the functions of
 * elementwise.h, which stay: a name that no parenthesis follows, such as &lucid_mul, is the
 * function. */
#ifndef LUCID_AUTOGRAD_OPS_NUMBERS_H
#define LUCID_AUTOGRAD_OPS_NUMBERS_H

#include "elementwise.h"
#include "pointwise.h"

static inline lucid_tensor *luc_is_tensor(lucid_tensor *tensor)
{
    return tensor;
}

#ifdef __cplusplus
static inline lucid_tensor *luc_operand(lucid_tensor *tensor)
{
    return tensor;
}
template <class N, class = decltype(static_cast<double>(N()))>
static inline lucid_tensor *luc_operand(N number)
{
    return lucid_scalar(static_cast<double>(number));
}
#define LUC_OPERAND(x)             luc_operand(x)
#define LUC_WITH_NUMBERS(fn, a, b) fn(luc_operand(a), luc_operand(b))
#define LUC_WITH_NUMBER(fn, a, b)  fn(luc_operand(a), luc_operand(b))
#define LUC_IN_PLACE(fn, a, b)     fn(a, luc_operand(b))
#define LUC_WHERE(condition, a, b) lucid_where(condition, luc_operand(a), luc_operand(b))
#else
static inline double luc_is_number(double number)
{
    return number;
}
/* clang-format off */
#define LUC_NUMBERS(result) \
    LUC_WHOLE_NUMBERS(result), float: result, double: result, long double: result
/* NULL is a void pointer: a tensor that an earlier error left out. */
#define LUC_SELECT(x, tensor, number) \
    _Generic((x), lucid_tensor *: tensor, void *: tensor, LUC_NUMBERS(number))
/* clang-format on */
#define LUC_OPERAND(x) LUC_SELECT(x, luc_is_tensor, lucid_scalar)(x)
/* Both arguments are read once, so that nested calls do not grow. */
#define LUC_WITH_NUMBERS(fn, a, b)                                                               \
    LUC_WITH_NUMBERS_(LUCID_CAT(luc_left_, __COUNTER__), LUCID_CAT(luc_right_, __COUNTER__), fn, \
                      a, b)
#define LUC_WITH_NUMBERS_(l, r, fn, a, b)   \
    __extension__({                         \
        __auto_type l = (a);                \
        __auto_type r = (b);                \
        fn(LUC_OPERAND(l), LUC_OPERAND(r)); \
    })
/* The same where there is a function for a number on the right, which is faster. */
#define LUC_WITH_NUMBER(fn, a, b)                                                               \
    LUC_WITH_NUMBER_(LUCID_CAT(luc_left_, __COUNTER__), LUCID_CAT(luc_right_, __COUNTER__), fn, \
                     fn##_scalar, a, b)
#define LUC_WITH_NUMBER_(l, r, fn, fn_scalar, a, b)                       \
    __extension__({                                                       \
        __auto_type l = (a);                                              \
        __auto_type r = (b);                                              \
        LUC_SELECT(r, fn, fn_scalar)                                      \
        (LUC_OPERAND(l), LUC_SELECT(r, luc_is_tensor, luc_is_number)(r)); \
    })
#define LUC_IN_PLACE(fn, a, b) LUC_IN_PLACE_(LUCID_CAT(luc_right_, __COUNTER__), fn, a, b)
#define LUC_IN_PLACE_(r, fn, a, b)               \
    __extension__({                              \
        LUC_STRICT_BEGIN                         \
        __auto_type r = (b);                     \
        LUC_STRICT_RESULT(fn(a, LUC_OPERAND(r))) \
    })
#define LUC_WHERE(condition, a, b)                                                               \
    LUC_WHERE_(LUCID_CAT(luc_left_, __COUNTER__), LUCID_CAT(luc_right_, __COUNTER__), condition, \
               a, b)
#define LUC_WHERE_(l, r, condition, a, b)                                         \
    __extension__({                                                               \
        LUC_STRICT_BEGIN                                                          \
        __auto_type l = (a);                                                      \
        __auto_type r = (b);                                                      \
        LUC_STRICT_RESULT(lucid_where(condition, LUC_OPERAND(l), LUC_OPERAND(r))) \
    })
#endif

#define lucid_add(a, b)              LUC_WITH_NUMBER(lucid_add, a, b)
#define lucid_sub(a, b)              LUC_WITH_NUMBER(lucid_sub, a, b)
#define lucid_mul(a, b)              LUC_WITH_NUMBER(lucid_mul, a, b)
#define lucid_div(a, b)              LUC_WITH_NUMBER(lucid_div, a, b)
#define lucid_pow(a, b)              LUC_WITH_NUMBER(lucid_pow, a, b)
#define lucid_minimum(a, b)          LUC_WITH_NUMBERS(lucid_minimum, a, b)
#define lucid_maximum(a, b)          LUC_WITH_NUMBERS(lucid_maximum, a, b)
#define lucid_eq(a, b)               LUC_WITH_NUMBERS(lucid_eq, a, b)
#define lucid_ne(a, b)               LUC_WITH_NUMBERS(lucid_ne, a, b)
#define lucid_lt(a, b)               LUC_WITH_NUMBERS(lucid_lt, a, b)
#define lucid_le(a, b)               LUC_WITH_NUMBERS(lucid_le, a, b)
#define lucid_gt(a, b)               LUC_WITH_NUMBERS(lucid_gt, a, b)
#define lucid_ge(a, b)               LUC_WITH_NUMBERS(lucid_ge, a, b)
#define lucid_atan2(a, b)            LUC_WITH_NUMBERS(lucid_atan2, a, b)
#define lucid_fmod(a, b)             LUC_WITH_NUMBERS(lucid_fmod, a, b)
#define lucid_remainder(a, b)        LUC_WITH_NUMBERS(lucid_remainder, a, b)
#define lucid_logical_and(a, b)      LUC_WITH_NUMBERS(lucid_logical_and, a, b)
#define lucid_logical_or(a, b)       LUC_WITH_NUMBERS(lucid_logical_or, a, b)
#define lucid_logical_xor(a, b)      LUC_WITH_NUMBERS(lucid_logical_xor, a, b)
#define lucid_lerp(a, b, weight)     lucid_lerp(a, b, LUC_OPERAND(weight))
#define lucid_add_(x, b)             LUC_IN_PLACE(lucid_add_, x, b)
#define lucid_sub_(x, b)             LUC_IN_PLACE(lucid_sub_, x, b)
#define lucid_mul_(x, b)             LUC_IN_PLACE(lucid_mul_, x, b)
#define lucid_div_(x, b)             LUC_IN_PLACE(lucid_div_, x, b)
#define lucid_where(condition, a, b) LUC_WHERE(condition, a, b)

#endif
