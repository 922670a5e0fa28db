/* version.h: which lucid this is. Before 1.0 every minor version may break programs: those that
 * were compiled with 0.1 need liblucid.so.0.1. */
#ifndef LUCID_VERSION_H
#define LUCID_VERSION_H

#include "api.h"

LUCID_BEGIN_DECLS

#define LUCID_VERSION_MAJOR  0
#define LUCID_VERSION_MINOR  1
#define LUCID_VERSION_PATCH  0
#define LUCID_VERSION_STRING "0.1.0"
/* One number for comparisons: LUCID_VERSION >= LUCID_MAKE_VERSION(0, 2, 0) */
#define LUCID_MAKE_VERSION(major, minor, patch) ((major)*1000000 + (minor)*1000 + (patch))
#define LUCID_VERSION \
    LUCID_MAKE_VERSION(LUCID_VERSION_MAJOR, LUCID_VERSION_MINOR, LUCID_VERSION_PATCH)

/* The version of the library that runs, "0.1.0"; LUCID_VERSION_STRING is that of the headers that
 * the program was compiled with. The second function returns it as one number, like
 * LUCID_VERSION. */
LUCID_API const char *lucid_version_string(void);
LUCID_API int lucid_version_number(void);

LUCID_END_DECLS
#endif
