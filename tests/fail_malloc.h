/* fail_malloc.h: makes the nth allocation of this thread fail, whoever asks: lucid, libpng, zlib,
 * the C library. Include it in one file of a test program: it defines malloc, calloc, realloc and
 * others for the whole program, libraries included, over those of glibc.
 *
 *     fail_malloc_begin(n);
 *     ... what is tested ...
 *     bool reached = fail_malloc_end();
 *
 * A sanitizer has a malloc of its own, and other C libraries have no second name for theirs: there
 * FAIL_MALLOC_WORKS is 0 and nothing fails. */
#ifndef TESTS_FAIL_MALLOC_H
#define TESTS_FAIL_MALLOC_H

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define FAIL_MALLOC_WORKS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define FAIL_MALLOC_WORKS 0
#endif
#endif
#ifndef FAIL_MALLOC_WORKS
#define FAIL_MALLOC_WORKS 1
#endif

static __thread long fail_malloc_left; /* allocations until the one that fails; 0: none does */
static __thread bool fail_malloc_done;

static inline void fail_malloc_begin(long n)
{
    fail_malloc_done = false;
    fail_malloc_left = n;
}

/* Whether the allocation came. */
static inline bool fail_malloc_end(void)
{
    fail_malloc_left = 0;
    return fail_malloc_done;
}

#if FAIL_MALLOC_WORKS
static inline bool fail_malloc_now(void)
{
    if (fail_malloc_left == 0 || --fail_malloc_left > 0) return false;
    fail_malloc_done = true;
    errno = ENOMEM;
    return true;
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size)
{
    return fail_malloc_now() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fail_malloc_now() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *p, size_t size)
{
    return fail_malloc_now() ? NULL : __libc_realloc(p, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return fail_malloc_now() ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **p, size_t alignment, size_t size)
{
    if (fail_malloc_now()) return ENOMEM;
    void *memory = __libc_memalign(alignment, size);
    if (!memory) return ENOMEM;
    *p = memory;
    return 0;
}
#endif

#endif
