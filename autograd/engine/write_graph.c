/* write_graph.c: the graph as a picture, in Graphviz's language. */
#include "autograd/engine/engine_priv.h"
#include "autograd/engine/run_priv.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/op_table_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/tensor_priv.h"

static void write_label(FILE *file, const luc_slot *s, size_t i)
{
    if (s->fn) {
        fprintf(file, "    n%zu [label=\"%s\\n", i, s->fn->op->name);
        for (int k = 0; k < s->fn->n_out; k++)
            fprintf(file, "%s%s", k ? ", " : "",
                    luc_dims_text(s->fn->out[k].ndim, s->fn->out[k].dims).s);
        fprintf(file, "\"];\n");
        return;
    }
    fprintf(file, "    n%zu [shape=ellipse, label=\"%s\\n%s\"];\n", i,
            s->leaf->name ? s->leaf->name : "leaf", luc_shape_text(s->leaf).s);
}

static void write_edges(FILE *file, luc_run *run, size_t i)
{
    const lucid_node *fn = run->slot[i].fn;
    for (int k = 0; fn && k < fn->n_in; k++) {
        const luc_edge *e = &fn->edge[k];
        if (!e->fn && !e->leaf) continue;
        fprintf(file, "    n%zu -> n%zu [label=\"%s\"];\n", luc_run_find(run, e), i,
                luc_argument_name(fn->op, k).s);
    }
}

bool lucid_write_graph(const lucid_tensor *root, FILE *file)
{
    if (!luc_given(root, "write_graph", "root")) return false;
    if (!file) return luc_raise(LUCID_ERR_ARGUMENT, "write_graph", "file: expected one, got NULL");
    if (!lucid_requires_grad(root))
        return luc_raise(LUCID_ERR_ARGUMENT, "write_graph",
                         "root: expected a tensor that requires a gradient, got one that %s",
                         luc_no_gradient_reason(root));
    luc_edge edge = luc_edge_of((lucid_tensor *)(uintptr_t)root);
    luc_run run = {.n = 0};
    bool ok = luc_run_discover(&run, &edge, 1);
    if (ok) {
        fprintf(file, "digraph lucid {\n    rankdir=TB;\n    node [shape=box];\n");
        for (size_t i = 0; i < run.n; i++) write_label(file, &run.slot[i], i);
        for (size_t i = 0; i < run.n; i++) write_edges(file, &run, i);
        fprintf(file, "}\n");
        ok = !ferror(file) ||
             luc_raise(LUCID_ERR_IO, "write_graph", "file: the graph could not be written");
    }
    luc_run_free(&run);
    luc_edge_release(&edge);
    return ok;
}
