/* job.c: the state of a row: inputs, a net, and the value of the first run. */
#include "row.h"

#include <stdlib.h>

job *job_new(const row *r)
{
    job *j = calloc(1, sizeof *j);
    if (!j) abort();
    j->row = r;
    return j;
}

lucid_tensor *job_input(job *j, int i, lucid_shape shape, double scale, bool channels_last,
                        bool requires_grad)
{
    LUCID_SCOPE;
    lucid_tensor_options o = lucid_tensor_defaults;
    if (channels_last) o.memory_format = LUCID_CHANNELS_LAST;
    o.device = row_device;
    o.dtype = row_dtype;
    lucid_tensor *t = lucid_empty_opt(shape, &o);
    row_fill(t, scale, 0);
    if (requires_grad) lucid_requires_grad_(t, true);
    return j->in[i] = lucid_retain(t);
}

void job_show(job *j, lucid_tensor *const *results, int n)
{
    if (j->shown) return;
    j->value = row_check(results, n);
    j->shown = true;
}

double job_value(void *state)
{
    return ((job *)state)->value;
}

void job_teardown(void *state)
{
    job *j = state;
    lucid_graph_free(j->graph);
    lucid_loader_free(j->loader);
    lucid_optimizer_free(j->opt);
    lucid_release(j->kept);
    for (size_t i = 0; i < sizeof j->in / sizeof *j->in; i++) lucid_release(j->in[i]);
    lucid_module_free(j->net);
    free(j);
}
