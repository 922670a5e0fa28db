/* version.c: the version of the library. */
#include "lucid/core/version.h"

const char *lucid_version_string(void)
{
    return LUCID_VERSION_STRING;
}

int lucid_version_number(void)
{
    return LUCID_VERSION;
}
