/* settings.c: the settings of the call that a thread is in. */
#include "backends/cpu/settings.h"
#include "backends/cpu/conv/conv.h"
#include "backends/cpu/levels_priv.h"
#include "backends/cpu/threads/parallel.h"

_Thread_local luc_settings luc_call_settings;

uint64_t luc_settings_begin(void)
{
    const uint64_t before = luc_call_settings.word;
    luc_call_settings.word = 0; /* what an outer call has fixed is not used */
    luc_settings now = {.word = 0};
    now.threads = (uint16_t)luc_num_threads();
    now.level = (uint8_t)luc_cpu_current();
    now.winograd = luc_conv_winograd_is_allowed();
    now.fixed = true;
    luc_call_settings = now;
    return before;
}

void luc_settings_end(uint64_t before)
{
    luc_call_settings.word = before;
}
