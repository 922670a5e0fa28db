/* api.h: the export mark and the machinery of named options. Included by every public header. */
#ifndef LUCID_API_H
#define LUCID_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define LUCID_API             __attribute__((visibility("default")))
#define LUCID_PRINTF(fmt, va) __attribute__((format(printf, fmt, va)))
#else
#define LUCID_API
#define LUCID_PRINTF(fmt, va)
#endif

#ifdef __cplusplus
#define LUCID_BEGIN_DECLS extern "C" {
#define LUCID_END_DECLS   }
#else
#define LUCID_BEGIN_DECLS
#define LUCID_END_DECLS
#endif

/* Named options. A call such as
 *
 *     lucid_mean(x, .dims = {2, 3}, .keepdim = true)
 *
 * is a macro over a function that takes a pointer to an options struct. The macro writes the
 * defaults first and the caller's designated initialisers after them, so that a field that the
 * caller does not name has its visible default, and a field that he sets to zero is zero. The
 * struct lives until the call returns; functions copy what they keep. C++17 has no designated
 * initialisers: there, copy the exported `..._defaults` constant, change fields, and call the
 * function itself (or pass NULL for all defaults). */
#ifndef __cplusplus

#define LUCID_CAT_(a, b)    a##b
#define LUCID_CAT(a, b)     LUCID_CAT_(a, b)
#define LUCID_HEAD_(h, ...) h
#define LUCID_HEAD(...)     LUCID_HEAD_(__VA_ARGS__, )
#define LUCID_TAIL_(h, ...) __VA_ARGS__
#define LUCID_TAIL(...)     LUCID_TAIL_(__VA_ARGS__, )
#define LUCID_STRING_(...)  #__VA_ARGS__
#define LUCID_STRING(...)   LUCID_STRING_(__VA_ARGS__)

/* The caller's initialisers override the defaults on purpose; say so to the compiler. */
#ifdef __clang__
#define LUCID_OVERRIDE_BEGIN \
    _Pragma("clang diagnostic push") _Pragma("clang diagnostic ignored \"-Winitializer-overrides\"")
#define LUCID_OVERRIDE_END _Pragma("clang diagnostic pop")
#else
#define LUCID_OVERRIDE_BEGIN                                                             \
    _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Woverride-init\"") \
        _Pragma("GCC diagnostic ignored \"-Woverride-init-side-effects\"")
#define LUCID_OVERRIDE_END _Pragma("GCC diagnostic pop")
#endif

/* LUCID_CALL(type of the result, the call): an expression inside which options may be overridden. */
#define LUCID_CALL_(name, type, ...)                  \
    __extension__({                                   \
        LUCID_OVERRIDE_BEGIN type name = __VA_ARGS__; \
        LUCID_OVERRIDE_END name;                      \
    })
#define LUCID_CALL(type, ...) LUCID_CALL_(LUCID_CAT(lucid_result_, __COUNTER__), type, __VA_ARGS__)

#endif /* __cplusplus */
#endif
