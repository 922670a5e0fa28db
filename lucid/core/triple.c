/* triple.c: three numbers as one extent. */
#include "lucid/core/triple.h"
#include "lucid/core/options_priv.h"

/* A triple lies below every number that a function takes and above every pair (options.c): -2^61
 * minus three times 20 bits. */
#define LIMIT   ((int64_t)1 << 19)
#define TRIPLES (-((int64_t)1 << 61))

static int64_t bits_of(int64_t n, bool fits)
{
    return (fits ? n : -LIMIT) + LIMIT;
}

lucid_extent lucid_triple(int64_t d, int64_t h, int64_t w)
{
    const bool fits = d > -LIMIT && d < LIMIT && h > -LIMIT && h < LIMIT && w > -LIMIT && w < LIMIT;
    return TRIPLES - (bits_of(d, fits) << 40 | bits_of(h, fits) << 20 | bits_of(w, fits));
}

bool luc_extent_is_triple(int64_t extent)
{
    return extent <= TRIPLES && extent > TRIPLES - ((int64_t)1 << 60);
}

bool lucid_triple_get(lucid_extent extent, int64_t triple[3])
{
    if (!triple || luc_extent_is_pair(extent)) return false;
    triple[0] = triple[1] = triple[2] = extent;
    if (!luc_extent_is_triple(extent)) return true;
    const int64_t bits = TRIPLES - extent, mask = 2 * LIMIT - 1;
    triple[0] = (bits >> 40) - LIMIT;
    triple[1] = (bits >> 20 & mask) - LIMIT;
    triple[2] = (bits & mask) - LIMIT;
    return true;
}
