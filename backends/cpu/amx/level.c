/* level.c: what AMX does better than AVX512-BF16: blocks of products of bfloat16, in its tiles. */
#include "backends/cpu/bf16/block_tiles.h"
#include "lucid/core/platform_priv.h"

#include <pthread.h>

static bool permitted;

static void ask_once(void)
{
    permitted = luc_allow_tiles();
}

static bool is_permitted(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, ask_once);
    return permitted;
}

static bool always(void)
{
    return true;
}

static const luc_bf16_table bf16 = {
    .pays = always,
    .is_permitted = is_permitted,
    .begin = luc_tiles_begin,
    .end = luc_tiles_end,
    .block = luc_block_with_tiles,
};

extern const luc_override luc_overrides_amx[];
const luc_override luc_overrides_amx[] = {
    LUC_OVERRIDE(luc_bf16, &bf16),
    LUC_NO_OVERRIDE,
};
