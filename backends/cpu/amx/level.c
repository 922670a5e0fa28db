/* level.c: what AMX does better than AVX512-BF16: blocks of products of bfloat16, in its tiles. */
#include "backends/cpu/bf16/block_tiles.h"

#include <pthread.h>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

/* Linux gives a process the registers of the tiles when it asks for them: a signal's frame grows
 * by 8 KB then. Containers may refuse, and older kernels do not know the question. */
static bool ask_for_tiles(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}
#else
static bool ask_for_tiles(void)
{
    return false;
}
#endif

static bool permitted;

static void ask_once(void)
{
    permitted = ask_for_tiles();
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
