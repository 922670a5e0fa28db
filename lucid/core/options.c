/* options.c: reading option structs; extents. */
#include "lucid/core/options_priv.h"

#include "lucid/core/error_priv.h"
#include "lucid/core/shape.h"

#include <string.h>

const void *luc_options(const void *given, const void *defaults, void *storage, size_t size,
                        const char *op)
{
    if (!given) return defaults;
    size_t known = *(const size_t *)given; /* every option struct begins with it */
    if (known == size) return given;
    if (known < sizeof(size_t) + 1)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "options: expected a copy of the exported defaults with some fields "
                              "changed, got a struct whose struct_size is %zu",
                              known);
    if (known > size)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "options: expected at most %zu bytes, got %zu: the program was "
                              "compiled for a later lucid than this library",
                              size, known);
    memcpy(storage, defaults, size);
    memcpy((char *)storage + sizeof known, (const char *)given + sizeof known,
           known - sizeof known);
    return storage;
}

/* ---- extents --------------------------------------------------------------------------------- */

/* A pair lies below every number that a function takes: -2^62 minus two times 31 bits. */
#define LIMIT ((int64_t)1 << 30)
#define PAIRS (-((int64_t)1 << 62))

lucid_extent lucid_pair(int64_t h, int64_t w)
{
    bool fits = h > -LIMIT && h < LIMIT && w > -LIMIT && w < LIMIT;
    int64_t high = (fits ? h : -LIMIT) + LIMIT, low = (fits ? w : -LIMIT) + LIMIT;
    return PAIRS - (high << 31 | low);
}

bool luc_extent_is_pair(int64_t extent)
{
    return extent <= PAIRS && extent != INT64_MIN;
}

void lucid_extent_get(lucid_extent extent, int64_t pair[2])
{
    if (!pair) {
        luc_raise(LUCID_ERR_ARGUMENT, "extent_get",
                  "pair: expected room for two numbers, got NULL");
        return;
    }
    pair[0] = pair[1] = extent;
    if (!luc_extent_is_pair(extent)) return;
    int64_t bits = PAIRS - extent;
    pair[0] = (bits >> 31) - LIMIT;
    pair[1] = (bits & (2 * LIMIT - 1)) - LIMIT;
}

lucid_shape lucid_all_dims(void)
{
    lucid_shape all = {.ndim = -1};
    return all;
}
