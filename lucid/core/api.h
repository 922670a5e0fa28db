/* api.h: the export mark and C linkage. Included by every public header. */
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

/* extern "C++" is for the few overloads that a header adds for C++ between the two. */
#ifdef __cplusplus
#define LUCID_BEGIN_DECLS extern "C" {
#define LUCID_END_DECLS   }
#else
#define LUCID_BEGIN_DECLS
#define LUCID_END_DECLS
#endif

#endif
