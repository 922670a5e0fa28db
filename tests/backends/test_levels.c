/* test_levels.c: the list of CPU levels, and tables that a level completes from the level below. */
#include "backends/cpu/levels_priv.h"
#include "backends/cpu/reduce/reduce_priv.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Test(levels, the_list_has_an_order_and_names)
{
    bool known;
    int count = 0;
    for (int level = LUC_CPU_GENERIC; level >= 0; level = luc_cpu_next(level), count++) {
        const char *name = luc_cpu_level_name((luc_cpu_level)level);
        cr_expect(luc_cpu_has((luc_cpu_level)level), "%s is in use, but not detected", name);
        cr_expect((int)luc_cpu_capped(name, &known) == level && known, "%s", name);
        cr_assert(luc_cpu_force((luc_cpu_level)level), "%s", name);
        cr_expect_str_eq(lucid_cpu_level(), name);
    }
    cr_expect(count >= 1);
    luc_cpu_force(luc_cpu_best());
    cr_expect(luc_cpu_next((int)luc_cpu_best()) == -1);
    cr_expect(!luc_cpu_force(LUC_CPU_LEVELS) && !luc_cpu_force((luc_cpu_level)-1));
}

Test(levels, every_name_of_the_list_caps)
{
    for (int level = 0; level < LUC_CPU_LEVELS; level++) {
        bool known;
        const luc_cpu_level capped =
            luc_cpu_capped(luc_cpu_level_name((luc_cpu_level)level), &known);
        cr_expect(known && (int)capped <= level && capped <= luc_cpu_best(), "%s: %s",
                  luc_cpu_level_name((luc_cpu_level)level), luc_cpu_level_name(capped));
    }
}

#if defined(__x86_64__) && defined(__linux__)
/* Whether /proc/cpuinfo lists the flag. */
static bool kernel_lists(const char *flag)
{
    char line[1 << 14], word[64];
    bool found = false;
    FILE *f = fopen("/proc/cpuinfo", "r");
    snprintf(word, sizeof word, " %s ", flag);
    while (f && !found && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = ' ';
        found = strncmp(line, "flags", 5) == 0 && strstr(line, word);
    }
    if (f) fclose(f);
    return found;
}

Test(levels, detection_agrees_with_the_kernel)
{
    static const struct {
        luc_cpu_level level;
        const char *flag;
    } cases[] = {{LUC_CPU_AVX2, "avx2"},
                 {LUC_CPU_AVX512, "avx512bw"},
                 {LUC_CPU_AVX512_VNNI, "avx512_vnni"},
                 {LUC_CPU_AVX512_BF16, "avx512_bf16"},
                 {LUC_CPU_AMX, "amx_bf16"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect(luc_cpu_has(cases[i].level) == kernel_lists(cases[i].flag), "%s: %d",
                  cases[i].flag, luc_cpu_has(cases[i].level));
}
#endif

typedef struct {
    int (*one)(void), (*two)(void), (*none)(void);
    int rows, cols;
} table;
static int low_one(void)
{
    return 1;
}
static int low_two(void)
{
    return 2;
}
static int high_two(void)
{
    return 20;
}
static const table low = {low_one, low_two, NULL, 4, 8}, partial = {NULL, high_two, NULL, 0, 0};
static const table whole = {low_one, high_two, NULL, 14, 8};

Test(levels, a_missing_table_or_entry_is_that_of_the_level_below)
{
    enum { TOP = LUC_CPU_LEVELS - 1 };
    luc_level_tables tables = {.size = sizeof(table), .own = {[LUC_CPU_GENERIC] = &low}};
    for (int level = TOP; level >= 0; level--)
        cr_expect_eq(luc_level_table(&tables, (luc_cpu_level)level), (const void *)&low);

    luc_level_tables two = {.size = sizeof(table), .own = {&low, &partial}};
    const table *above = luc_level_table(&two, (luc_cpu_level)1);
    cr_expect(above->one() == 1 && above->two() == 20 && !above->none);
    cr_expect(above->rows == 4 && above->cols == 8);
    cr_expect_eq(luc_level_table(&two, LUC_CPU_GENERIC), (const void *)&low);
    cr_expect_eq(luc_level_table(&two, (luc_cpu_level)1), (const void *)above, "completed once");
    free((void *)(uintptr_t)above); /* a table of the library itself is never freed */

    luc_level_tables full = {.size = sizeof(table), .own = {&low, &whole}};
    cr_expect_eq(luc_level_table(&full, (luc_cpu_level)1), (const void *)&whole, "nothing to add");
}

Test(levels, an_override_is_of_the_table_s_type)
{
    static const luc_reduce_table sums = {0};
    static const luc_override list[] = {LUC_OVERRIDE(luc_reduce, &sums), LUC_NO_OVERRIDE};
    cr_expect(list[0].tables == &luc_reduce_tables && list[0].table == &sums && !list[1].tables);
}
