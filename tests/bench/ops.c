/* ops.c: what an operation costs beside its arithmetic: tensors of one element. */
#include "bench.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "lucid/core/memory.h"
#include "lucid/core/tensor.h"

enum { BATCH = 100 }; /* operations between two scopes */

static lucid_tensor *plain, *leaf;

static void add(void *unused)
{
    (void)unused;
    LUCID_SCOPE;
    for (int i = 0; i < BATCH; i++) lucid_add(plain, plain);
}

static void add_recorded(void *unused)
{
    (void)unused;
    LUCID_SCOPE;
    for (int i = 0; i < BATCH; i++) lucid_add(plain, leaf);
}

static void mul_recorded(void *unused)
{
    (void)unused;
    LUCID_SCOPE;
    for (int i = 0; i < BATCH; i++) lucid_mul(plain, leaf);
}

static void add_in_place(void *unused)
{
    (void)unused;
    for (int i = 0; i < BATCH; i++) lucid_add_(plain, plain);
}

static void view(void *unused)
{
    (void)unused;
    LUCID_SCOPE;
    for (int i = 0; i < BATCH; i++) lucid_unsqueeze(plain, 0);
}

static void forward_backward(void *unused)
{
    (void)unused;
    for (int i = 0; i < BATCH; i++) {
        LUCID_SCOPE;
        lucid_backward(lucid_mul(plain, lucid_add(leaf, plain)));
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        bench_function run;
        double limit_ns; /* what it may cost on a quiet machine; 0: nothing is said */
    } rows[] = {
        {"add of 1-element tensors", add, 200},
        {"the same, recorded", add_recorded, 400},
        {"mul, recorded", mul_recorded, 400},
        {"add in place", add_in_place, 200},
        {"view", view, 200},
        {"add, mul, backward", forward_backward, 0},
    };
    plain = lucid_ones((1));
    leaf = lucid_ones((1), .requires_grad = true);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!bench_wanted(argc, argv, rows[i].name)) continue;
        double ns = 1e9 * bench_time(rows[i].run, NULL) / BATCH;
        printf("%-28s %8.1f ns", rows[i].name, ns);
        if (rows[i].limit_ns > 0) printf("   (limit %.0f)", rows[i].limit_ns);
        printf("\n");
    }
    return lucid_finish();
}
