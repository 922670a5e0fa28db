/* notes.c: where a node was recorded, for anomaly mode and the profiler. */
#include "autograd/graph/graph_priv.h"
#include "autograd/op_table_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"

#include <string.h>

bool luc_anomaly_note(lucid_node *n)
{
    char text[1024], path[256];
    int length = 0;
    luc_node_extra *x = luc_node_extra_get(n);
    if (!x) return false;
    luc_module_path(path, sizeof path);
    if (path[0]) length = snprintf(text, sizeof text, "module %s, ", path);
    length += snprintf(text + length, sizeof text - (size_t)length, "inputs");
    for (int i = 0; i < n->n_in && length < (int)sizeof text - 200; i++)
        length += snprintf(text + length, sizeof text - (size_t)length, "%s %s %s", i ? "," : "",
                           luc_argument_name(n->op, i).s,
                           n->in[i].ndim < 0 ? "not given" : luc_packed_text(&n->in[i]).s);
    x->origin = luc_strdup(text, n->op->name);
    return x->origin != NULL;
}

/* Backward runs outside of any module's forward: the node remembers in which one it was
 * recorded. */
bool luc_profile_note(lucid_node *n)
{
    char path[512];
    luc_module_path(path, sizeof path);
    luc_node_extra *x = path[0] ? luc_node_extra_get(n) : NULL;
    if (!path[0]) return true;
    if (x) x->module = luc_strdup(path, n->op->name);
    return x && x->module;
}
