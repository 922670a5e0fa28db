/* The defaults of every options struct as C has them, for defaults_same.cpp. */
#include "defaults.h"

const void *c_defaults(size_t i, size_t *size)
{
    static const struct {
        const void *at;
        size_t size;
    } all[] = {
#define DEFAULTS(name) {&name##_defaults, sizeof(name##_options)},
        ALL_DEFAULTS
#undef DEFAULTS
    };
    if (i >= sizeof all / sizeof *all) return NULL;
    *size = all[i].size;
    return all[i].at;
}
