/* forward_macros.h: the machinery of lucid_forward and lucid_forward_into (nn/module.h), in C and
 * C++. Nothing in it is meant for programs. */
#ifndef LUCID_NN_FORWARD_MACROS_H
#define LUCID_NN_FORWARD_MACROS_H

#include "../lucid/core/tensor.h"

#ifdef __cplusplus
#define LUC_STATIC_ASSERT(condition, message) static_assert(condition, message)
#else
#define LUC_STATIC_ASSERT(condition, message) _Static_assert(condition, message)
#endif

/* Makes a name that no other expansion has, because calls nest and -Wshadow would warn. */
#define LUC_PASTE_(a, b)   a##b
#define LUC_PASTE(a, b)    LUC_PASTE_(a, b)
#define LUC_UNIQUE(prefix) LUC_PASTE(prefix, __COUNTER__)

/* Turns (a, b) into {a, b}. */
#define LUC_LIST_IN_PARENTHESES(...) \
    {                                \
        __VA_ARGS__                  \
    }

/* Chooses `one` for a module and one input, `list` for a module and several inputs. */
#define LUC_FORWARD_CHOOSE(_1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14, _15, _16, \
                           name, ...)                                                             \
    name
#define LUC_FORWARD_PICK(one, list, ...)                                                        \
    LUC_FORWARD_CHOOSE(__VA_ARGS__, list, list, list, list, list, list, list, list, list, list, \
                       list, list, list, list, one, one, )                                      \
    (__VA_ARGS__)

/* Calls fn (lucid_forward_many or a function of the same type) with a list of inputs and one
 * output. */
#define LUC_FORWARD_LIST_(fn, in, out, module, ...)                          \
    __extension__({                                                          \
        LUC_STRICT_BEGIN                                                     \
        lucid_tensor *const in[] = {__VA_ARGS__};                            \
        LUC_STATIC_ASSERT(sizeof in / sizeof *in <= LUCID_MODULE_MAX_INPUTS, \
                          "expected at most 8 inputs of a module");          \
        lucid_tensor *out = NULL;                                            \
        (void)fn(module, in, (int)(sizeof in / sizeof *in), &out, 1);        \
        LUC_STRICT_RESULT(out)                                               \
    })
#define LUC_FORWARD_LIST(...) \
    LUC_FORWARD_LIST_(lucid_forward_many, LUC_UNIQUE(luc_in_), LUC_UNIQUE(luc_out_), __VA_ARGS__)

/* Calls fn, as above; inputs and outputs are lists in parentheses. The inputs are read before an
 * output is set, because one variable may be both. */
#define LUC_FORWARD_INTO_(in, to, out, i, ok, fn, module, inputs, outputs)                     \
    __extension__({                                                                            \
        LUC_STRICT_BEGIN                                                                       \
        lucid_tensor *const in[] = LUC_LIST_IN_PARENTHESES inputs;                             \
        lucid_tensor **const to[] = LUC_LIST_IN_PARENTHESES outputs;                           \
        LUC_STATIC_ASSERT(sizeof in / sizeof *in <= LUCID_MODULE_MAX_INPUTS,                   \
                          "expected at most 8 inputs of a module");                            \
        LUC_STATIC_ASSERT(sizeof to / sizeof *to <= LUCID_MODULE_MAX_OUTPUTS,                  \
                          "expected at most 8 outputs of a module");                           \
        lucid_tensor *out[sizeof to / sizeof *to];                                             \
        const bool ok =                                                                        \
            fn(module, in, (int)(sizeof in / sizeof *in), out, (int)(sizeof to / sizeof *to)); \
        for (size_t i = 0; i < sizeof to / sizeof *to; i++) *to[i] = out[i];                   \
        LUC_STRICT_RESULT(ok)                                                                  \
    })
#define LUC_FORWARD_INTO(...)                                                         \
    LUC_FORWARD_INTO_(LUC_UNIQUE(luc_in_), LUC_UNIQUE(luc_to_), LUC_UNIQUE(luc_out_), \
                      LUC_UNIQUE(luc_i_), LUC_UNIQUE(luc_ok_), __VA_ARGS__)

#endif
