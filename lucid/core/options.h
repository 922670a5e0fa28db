/* options.h: the machinery of named options. Every function that takes options uses it.
 *
 *     optim_SGD(net, .lr = 0.1, .nesterov = true)
 *
 * stands for
 *
 *     ({ lucid_sgd_options o = lucid_sgd_defaults;  o .lr = 0.1;  o .nesterov = true;
 *        lucid_optim_sgd(net, &o); })
 *
 * so that an option which is not named has its visible default, and one that is set to zero is
 * zero. Whatever is not written as `.name = value` does not compile, in gcc and clang, in C and
 * C++: optim_SGD(net, 0.05) gives "expected ';' before numeric constant", a misspelt name gives "no
 * member named ...; did you mean ...". Within the call three warnings are errors: an unused value
 * (.padding = (1, 2) would be 2, .nesterov alone nothing), and pointers of the wrong type. What a
 * function needs comes first, by position. Without the macros, copy `lucid_sgd_defaults`, change
 * fields, and give its address to the function; NULL stands for all defaults.
 *
 * A function with options is one line here, LUCID_CALLn with its n arguments by position:
 *
 *     #define optim_SGD(...) LUCID_CALL1(lucid_optim_sgd, lucid_sgd, LUCID_ASIS, __VA_ARGS__)
 *
 * The first is the function; the second names lucid_sgd_options and lucid_sgd_defaults; then comes,
 * for each argument by position, how it is read: LUCID_ASIS, LUCID_SHAPE_OF or LUCID_EXTENT_OF
 * (shape.h). The macros are statement expressions, so they stand within functions only. At most 24
 * options. */
#ifndef LUCID_OPTIONS_H
#define LUCID_OPTIONS_H

#include "api.h"

/* ---- option structs -------------------------------------------------------------------------- */

/* An option struct begins with its own size, as the program that fills it was compiled: a later
 * lucid may have fields after it, and gives them their defaults. So it may grow: new fields come at
 * the end, and begin where the old struct ended, after its padding. A struct whose size is 0 was
 * made without the defaults and is refused (LUCID_ERR_ARGUMENT).
 *
 *     typedef struct lucid_sgd_options {
 *         LUCID_OPTIONS_SIZE(lucid_sgd_options);
 *         double lr LUCID_DEFAULT(1e-3);
 *     } lucid_sgd_options;
 *     LUCID_DEFAULTS(lucid_sgd, .lr = 1e-3);
 *
 * LUCID_DEFAULT is C++'s default member initialiser, LUCID_DEFAULTS the constant
 * lucid_sgd_defaults; tests/target_api compares the two. */
#ifdef __cplusplus
#define LUCID_OPTIONS_SIZE(type) size_t struct_size = sizeof(type)
#define LUCID_DEFAULT(...)       = __VA_ARGS__
#define LUCID_DEFAULTS(name, ...) \
    static const name##_options name##_defaults __attribute__((unused)) = {}
#else
#define LUCID_OPTIONS_SIZE(type) size_t struct_size
#define LUCID_DEFAULT(...)
#define LUCID_DEFAULTS(name, ...)               \
    static const name##_options name##_defaults \
        __attribute__((unused)) = {.struct_size = sizeof(name##_options), __VA_ARGS__}
#endif

/* clang-format off */
/* ---- lists of arguments ---------------------------------------------------------------------- */

#define LUCID_CAT_(a, b) a##b
#define LUCID_CAT(a, b)  LUCID_CAT_(a, b)

/* The number of arguments, 1 to 32; an empty list counts as 1. */
#define LUC_COUNT(...) \
    LUC_COUNT_(__VA_ARGS__, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, \
               15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define LUC_COUNT_(_1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14, _15, _16, _17, \
                   _18, _19, _20, _21, _22, _23, _24, _25, _26, _27, _28, _29, _30, _31, _32, n, \
                   ...)                                                                         \
    n
/* 1 for a single argument (or none), MORE for several. */
#define LUC_ONE(...) \
    LUC_COUNT_(__VA_ARGS__, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, \
               MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, \
               MORE, MORE, MORE, MORE, MORE, MORE, MORE, 1, 0)
/* 1, 2, or MORE for three and above. */
#define LUC_TWO(...) \
    LUC_COUNT_(__VA_ARGS__, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, \
               MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, \
               MORE, MORE, MORE, MORE, MORE, MORE, 2, 1, 0)
/* 1, 2, 3, or MORE for four and above. */
#define LUC_THREE(...) \
    LUC_COUNT_(__VA_ARGS__, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, \
               MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, \
               MORE, MORE, MORE, MORE, MORE, 3, 2, 1, 0)
#define LUC_ARG_1(...)         LUC_ARG_1_(__VA_ARGS__, 0)
#define LUC_ARG_1_(first, ...) first
#define LUC_ARG_2_(a, b, ...) b
#define LUC_ARG_2(...)        LUC_ARG_2_(__VA_ARGS__)
/* 1 where an argument begins with a parenthesis, else 0. */
#define LUC_PAREN_PROBE(...) ~, 1,
#define LUC_IS_PAREN(x)      LUC_ARG_2(LUC_PAREN_PROBE x, 0, ~)
/* 1 where an argument that does not begin with a parenthesis is empty, else 0. */
#define LUC_EMPTY_PROBE() ~, 1,
#define LUC_IS_EMPTY(x)   LUC_ARG_2(LUC_EMPTY_PROBE x(), 0, ~)

/* ---- calls ----------------------------------------------------------------------------------- */

/* How an argument by position is read: as it is. */
#define LUCID_ASIS(x) x

/* An option is one assignment. Compilers show the comment in this line in their messages. */
#define LUC_OPTION(o, option) o option; /* write every option as .name = value */
#define LUC_SET_1(o, a)       LUC_OPTION(o, a)
#define LUC_SET_2(o, a, ...)  LUC_OPTION(o, a) LUC_SET_1(o, __VA_ARGS__)
#define LUC_SET_3(o, a, ...)  LUC_OPTION(o, a) LUC_SET_2(o, __VA_ARGS__)
#define LUC_SET_4(o, a, ...)  LUC_OPTION(o, a) LUC_SET_3(o, __VA_ARGS__)
#define LUC_SET_5(o, a, ...)  LUC_OPTION(o, a) LUC_SET_4(o, __VA_ARGS__)
#define LUC_SET_6(o, a, ...)  LUC_OPTION(o, a) LUC_SET_5(o, __VA_ARGS__)
#define LUC_SET_7(o, a, ...)  LUC_OPTION(o, a) LUC_SET_6(o, __VA_ARGS__)
#define LUC_SET_8(o, a, ...)  LUC_OPTION(o, a) LUC_SET_7(o, __VA_ARGS__)
#define LUC_SET_9(o, a, ...)  LUC_OPTION(o, a) LUC_SET_8(o, __VA_ARGS__)
#define LUC_SET_10(o, a, ...)  LUC_OPTION(o, a) LUC_SET_9(o, __VA_ARGS__)
#define LUC_SET_11(o, a, ...)  LUC_OPTION(o, a) LUC_SET_10(o, __VA_ARGS__)
#define LUC_SET_12(o, a, ...)  LUC_OPTION(o, a) LUC_SET_11(o, __VA_ARGS__)
#define LUC_SET_13(o, a, ...)  LUC_OPTION(o, a) LUC_SET_12(o, __VA_ARGS__)
#define LUC_SET_14(o, a, ...)  LUC_OPTION(o, a) LUC_SET_13(o, __VA_ARGS__)
#define LUC_SET_15(o, a, ...)  LUC_OPTION(o, a) LUC_SET_14(o, __VA_ARGS__)
#define LUC_SET_16(o, a, ...)  LUC_OPTION(o, a) LUC_SET_15(o, __VA_ARGS__)
#define LUC_SET_17(o, a, ...)  LUC_OPTION(o, a) LUC_SET_16(o, __VA_ARGS__)
#define LUC_SET_18(o, a, ...)  LUC_OPTION(o, a) LUC_SET_17(o, __VA_ARGS__)
#define LUC_SET_19(o, a, ...)  LUC_OPTION(o, a) LUC_SET_18(o, __VA_ARGS__)
#define LUC_SET_20(o, a, ...)  LUC_OPTION(o, a) LUC_SET_19(o, __VA_ARGS__)
#define LUC_SET_21(o, a, ...)  LUC_OPTION(o, a) LUC_SET_20(o, __VA_ARGS__)
#define LUC_SET_22(o, a, ...)  LUC_OPTION(o, a) LUC_SET_21(o, __VA_ARGS__)
#define LUC_SET_23(o, a, ...)  LUC_OPTION(o, a) LUC_SET_22(o, __VA_ARGS__)
#define LUC_SET_24(o, a, ...)  LUC_OPTION(o, a) LUC_SET_23(o, __VA_ARGS__)
#define LUC_SET_25(o, a, ...)  LUC_OPTION(o, a) LUC_SET_24(o, __VA_ARGS__)
#define LUC_SET(o, ...) LUCID_CAT(LUC_SET_, LUC_COUNT(__VA_ARGS__))(o, __VA_ARGS__)

/* Turns warnings into errors where the call would mean something else. In C a pragma may follow the
 * last statement; in C++ it may not, and none is needed, because C++'s types are strict. */
#ifdef __cplusplus
#define LUC_STRICT_BEGIN           \
    _Pragma("GCC diagnostic push") \
        _Pragma("GCC diagnostic error \"-Wunused-value\"")
#define LUC_STRICT_RESULT(...)            \
    _Pragma("GCC diagnostic pop") __VA_ARGS__;
#else
#define LUC_STRICT_BEGIN                                                            \
    _Pragma("GCC diagnostic push")                                                  \
        _Pragma("GCC diagnostic error \"-Wunused-value\"")                          \
            _Pragma("GCC diagnostic error \"-Wincompatible-pointer-types\"")        \
                _Pragma("GCC diagnostic error \"-Wint-conversion\"")
#define LUC_STRICT_RESULT(...) \
    __VA_ARGS__;               \
    _Pragma("GCC diagnostic pop")
#endif

/* The size is assigned once more so that a list of options is never empty. */
#define LUC_CALL(o, name, set, ...)            \
    __extension__({                            \
        LUC_STRICT_BEGIN                       \
        name##_options o = name##_defaults;    \
        LUC_SET set                            \
        LUC_STRICT_RESULT(__VA_ARGS__)         \
    })
#define LUC_SIZE(name) .struct_size = sizeof(name##_options)
/* Each call gets a variable with a new name, so that calls nest without shadowing. */
#define LUC_NEW_NAME LUCID_CAT(lucid_options_are_named_, __COUNTER__)

#define LUCID_CALL0(fn, name, ...) \
    LUCID_CAT(LUC_CALL0_, LUC_IS_EMPTY(LUC_ARG_1(__VA_ARGS__)))(LUC_NEW_NAME, fn, name, __VA_ARGS__)
#define LUC_CALL0_1(o, fn, name, ...) fn(&name##_defaults)
#define LUC_CALL0_0(o, fn, name, ...) LUC_CALL(o, name, (o, __VA_ARGS__, LUC_SIZE(name)), fn(&o))
#define LUCID_CALL1(fn, name, ...) LUC_CALL1_(LUC_NEW_NAME, fn, name, __VA_ARGS__, LUC_SIZE(name))
#define LUC_CALL1_(o, fn, name, F1, a1, ...) \
    LUC_CALL(o, name, (o, __VA_ARGS__), fn(F1(a1), &o))
#define LUCID_CALL2(fn, name, ...) LUC_CALL2_(LUC_NEW_NAME, fn, name, __VA_ARGS__, LUC_SIZE(name))
#define LUC_CALL2_(o, fn, name, F1, F2, a1, a2, ...) \
    LUC_CALL(o, name, (o, __VA_ARGS__), fn(F1(a1), F2(a2), &o))
#define LUCID_CALL3(fn, name, ...) LUC_CALL3_(LUC_NEW_NAME, fn, name, __VA_ARGS__, LUC_SIZE(name))
#define LUC_CALL3_(o, fn, name, F1, F2, F3, a1, a2, a3, ...) \
    LUC_CALL(o, name, (o, __VA_ARGS__), fn(F1(a1), F2(a2), F3(a3), &o))
#define LUCID_CALL4(fn, name, ...) LUC_CALL4_(LUC_NEW_NAME, fn, name, __VA_ARGS__, LUC_SIZE(name))
#define LUC_CALL4_(o, fn, name, F1, F2, F3, F4, a1, a2, a3, a4, ...) \
    LUC_CALL(o, name, (o, __VA_ARGS__), fn(F1(a1), F2(a2), F3(a3), F4(a4), &o))
#define LUCID_CALL5(fn, name, ...) LUC_CALL5_(LUC_NEW_NAME, fn, name, __VA_ARGS__, LUC_SIZE(name))
#define LUC_CALL5_(o, fn, name, F1, F2, F3, F4, F5, a1, a2, a3, a4, a5, ...) \
    LUC_CALL(o, name, (o, __VA_ARGS__), fn(F1(a1), F2(a2), F3(a3), F4(a4), F5(a5), &o))

/* The same with options set beforehand: preset is a list of them in parentheses. */
#define LUCID_CALL0_PRESET(fn, name, preset, ...)                  \
    LUCID_CAT(LUC_PRESET_, LUC_IS_EMPTY(LUC_ARG_1(__VA_ARGS__)))   \
    (LUC_NEW_NAME, fn, name, preset, __VA_ARGS__)
#define LUC_PRESET_1(o, fn, name, preset, ...) LUC_CALL(o, name, (o, LUC_UNWRAP preset), fn(&o))
#define LUC_PRESET_0(o, fn, name, preset, ...) \
    LUC_CALL(o, name, (o, LUC_UNWRAP preset, __VA_ARGS__), fn(&o))
#define LUC_UNWRAP(...) __VA_ARGS__

/* A call without options, in which wrong pointers are errors too. */
#define LUCID_STRICT(...) __extension__({ LUC_STRICT_BEGIN LUC_STRICT_RESULT(__VA_ARGS__) })

/* clang-format on */
#endif
