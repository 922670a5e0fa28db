/* Every operator against PyTorch's stored values and gradients, at each CPU level. */
#include "lucid/device.h"
#include "tests/reference/op_cases.h"
#include "tests/testing.h"

/* The level is chosen when the first kernel runs; each test is a process of its own. */
static void run(const char *area, const char *level, int at_least)
{
    if (level) setenv("LUCID_CPU", level, 1);
    int cases = op_cases_run(area);
    cr_expect(cases >= at_least, "%s: only %d cases", area, cases);
    if (level && strcmp(level, "ref") == 0)
        cr_expect(strcmp(lucid_cpu_level(), "ref") == 0, "%s", lucid_cpu_level());
}

#define AREA(name, at_least)                 \
    Test(reference_ops, name)                \
    {                                        \
        run("ops_" #name, NULL, at_least);   \
    }                                        \
    Test(reference_ops, name##_avx2)         \
    {                                        \
        run("ops_" #name, "avx2", at_least); \
    }                                        \
    Test(reference_ops, name##_ref)          \
    {                                        \
        run("ops_" #name, "ref", at_least);  \
    }

AREA(pointwise, 460)
AREA(reduce, 240)
AREA(matrix, 160)
AREA(spatial, 170)
AREA(loss, 190)
