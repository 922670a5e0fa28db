/* plugin.h: the functions that lucid gives to a backend that it loads as a plug-in.
 *
 * A plug-in links nothing of lucid: it gets these functions when it is loaded, so that a program
 * that holds lucid statically, or twice, has its errors and its allocation hook in one place. */
#ifndef LUCID_PLUGIN_H
#define LUCID_PLUGIN_H

#include "api.h"
#include "backend.h"
#include "error.h"
#include "keep.h"

LUCID_BEGIN_DECLS

/* Both sides must have been built with the same operations, attributes and tables. So the build
 * makes a hash of the headers that hold them, LUCID_PLUGIN_VERSION of lucid/plugin_version.h, and a
 * plug-in refuses a library of another one. */
typedef struct lucid_plugin_host {
    uint64_t version; /* LUCID_PLUGIN_VERSION of the library; it stays the first member */
    /* Raises an error of this thread (see error.h); the text is complete. Returns false. */
    bool (*raise)(lucid_code code, const char *op, const char *text);
    /* Counts an allocation for lucid_memory_fail_nth; true when it is the one that must fail. */
    bool (*should_fail)(void);
    /* True while that hook is on: caches must then be bypassed. */
    bool (*is_watched)(void);
    /* lucid_keep_find and the others (see keep.h). */
    lucid_kept *(*keep_find)(lucid_keep *keep, const void *key, size_t key_size);
    lucid_kept *(*kept_new)(lucid_keep *keep, size_t bytes, const void *key, size_t key_size);
    void *(*kept_data)(lucid_kept *kept);
    void (*keep_put)(lucid_keep *keep, lucid_kept *kept);
    void (*kept_release)(lucid_kept *kept);
} lucid_plugin_host;

/* A plug-in's one exported function, `lucid_cuda_backend`: the table, or NULL with the reason why
 * no device can be used here. Called once. */
typedef const lucid_backend *(*lucid_plugin_entry)(const lucid_plugin_host *host, char *reason,
                                                   size_t size);

LUCID_END_DECLS
#endif
