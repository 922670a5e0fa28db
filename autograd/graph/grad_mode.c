/* grad_mode.c: whether the thread records. */
#include "autograd/graph/graph_priv.h"

_Thread_local bool luc_grad_off __attribute__((tls_model("initial-exec")));
atomic_bool luc_anomaly;

bool lucid_is_grad_enabled(void)
{
    return !luc_grad_off;
}

bool lucid_set_grad_enabled(bool enabled)
{
    bool previous = !luc_grad_off;
    luc_grad_off = !enabled;
    return previous;
}

void lucid_grad_mode_cleanup(bool *previous)
{
    if (previous) luc_grad_off = !*previous;
}

bool lucid_set_detect_anomaly(bool enabled)
{
    return atomic_exchange_explicit(&luc_anomaly, enabled, memory_order_relaxed);
}

bool lucid_is_anomaly_enabled(void)
{
    return atomic_load_explicit(&luc_anomaly, memory_order_relaxed);
}
