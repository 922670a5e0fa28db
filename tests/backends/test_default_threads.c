/* test_default_threads.c: what the environment and control groups say about threads, the CPU level
 * and Winograd's transform, and that a value that is not understood is reported. */
#include "backends/cpu/levels_priv.h"
#include "backends/cpu/threads/default_threads.h"
#include "backends/cpu/threads/parallel.h"
#include "lucid/lucid.h"
#include "lucid/core/platform_priv.h"
#include "testing.h"
#include "tests/lucid/child.h"

#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- control groups, in a tree of files ------------------------------------------------------ */

static char root[] = "/tmp/lucid-cgroup-XXXXXX";

/* Writes a file below the root and makes its folders. */
static void put(const char *path, const char *text)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    for (char *slash = strchr(whole + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(whole, 0755);
        *slash = '/';
    }
    FILE *file = fopen(whole, "w");
    cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0, "%s", whole);
}

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *at)
{
    (void)s, (void)kind, (void)at;
    return remove(path);
}

static void make_root(void)
{
    cr_assert(mkdtemp(root));
}

static void remove_root(void)
{
    nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static bool knows_control_groups(void)
{
    return strcmp(luc_platform(), "linux") == 0;
}

TestSuite(default_threads, .init = make_root, .fini = remove_root);

Test(default_threads, version_2)
{
    if (!knows_control_groups()) return;
    cr_expect(luc_cgroup_cpus(root) == 0); /* no files */
    put("/proc/self/cgroup", "0::/user.slice/job\n");
    cr_expect(luc_cgroup_cpus(root) == 0);
    put("/sys/fs/cgroup/user.slice/job/cpu.max", "max 100000\n");
    cr_expect(luc_cgroup_cpus(root) == 0);
    put("/sys/fs/cgroup/user.slice/job/cpu.max", "400000 100000\n");
    cr_expect(luc_cgroup_cpus(root) == 4);
    put("/sys/fs/cgroup/user.slice/job/cpu.max", "150000 100000\n");
    cr_expect(luc_cgroup_cpus(root) == 2); /* rounded up */
    put("/sys/fs/cgroup/user.slice/job/cpu.max", "1000 100000\n");
    cr_expect(luc_cgroup_cpus(root) == 1);
    put("/sys/fs/cgroup/user.slice/job/cpu.max", "800000 100000\n");
    put("/sys/fs/cgroup/user.slice/cpu.max", "300000 100000\n");
    cr_expect(luc_cgroup_cpus(root) == 3); /* the group above has less */
    put("/proc/self/cgroup", "0::/not/mounted/here\n");
    put("/sys/fs/cgroup/cpu.max", "500000 100000\n");
    cr_expect(luc_cgroup_cpus(root) == 5); /* a container's own group, mounted as the top */
    static const char *const broken[] = {
        "", "\n", "x y\n", "100000\n", "100000 0\n", "-1 100000\n", "9999999999999999999999 1\n"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        put("/sys/fs/cgroup/cpu.max", broken[i]);
        const int cpus = luc_cgroup_cpus(root);
        cr_expect(cpus == 0 || cpus == INT_MAX, "%s: %d", broken[i], cpus);
    }
}

Test(default_threads, version_1)
{
    if (!knows_control_groups()) return;
    put("/proc/self/cgroup", "12:cpuset:/\n4:cpu,cpuacct:/docker/1234\n1:name=systemd:/x\n0::/\n");
    cr_expect(luc_cgroup_cpus(root) == 0);
    put("/sys/fs/cgroup/cpu,cpuacct/docker/1234/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu,cpuacct/docker/1234/cpu.cfs_period_us", "100000\n");
    cr_expect(luc_cgroup_cpus(root) == 0);
    put("/sys/fs/cgroup/cpu,cpuacct/docker/1234/cpu.cfs_quota_us", "250000\n");
    cr_expect(luc_cgroup_cpus(root) == 3);
    put("/proc/self/cgroup", "4:cpu:/elsewhere\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    cr_expect(luc_cgroup_cpus(root) == 2);
    put("/proc/self/cgroup", "no colons\n4:cpu\n::\n");
    cr_expect(luc_cgroup_cpus(root) == 0);
}

/* ---- the environment ------------------------------------------------------------------------- */

Test(default_threads, omp_num_threads)
{
    static const struct {
        const char *text;
        int n;
        bool says;
    } cases[] = {{NULL, 0, false},      {"", 0, false},    {"1", 1, false},
                 {"256", 256, false},   {" 8 ", 8, false}, {"4,2", 4, false},
                 {"100000", 256, true}, {"abc", 0, true},  {"0", 0, true},
                 {"-3", 0, true},       {"4x", 0, true},   {"99999999999999999999", 256, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char message[160];
        const int n = luc_omp_threads(cases[i].text, message, sizeof message);
        cr_expect(n == cases[i].n, "%s: %d threads", cases[i].text, n);
        cr_expect((*message != '\0') == cases[i].says, "%s: \"%s\"", cases[i].text, message);
        if (*message) cr_expect(strstr(message, cases[i].text), "%s", message);
    }
}

Test(default_threads, lucid_cpu)
{
    bool known;
    cr_expect(luc_cpu_capped(NULL, &known) == luc_cpu_best() && known);
    cr_expect(luc_cpu_capped("", &known) == luc_cpu_best() && known);
    cr_expect(luc_cpu_capped("generic", &known) == LUC_CPU_GENERIC && known);
    cr_expect(luc_cpu_capped("GENERIC", &known) == LUC_CPU_GENERIC && known);
    cr_expect(luc_cpu_capped(luc_cpu_level_name(luc_cpu_best()), &known) == luc_cpu_best() &&
              known);
    cr_expect(luc_cpu_capped("sse2", &known) == luc_cpu_best() && !known);
    cr_expect(luc_cpu_capped("bogus", &known) == luc_cpu_best() && !known);
}

/* Uses each of the variables several times. */
static int uses_all(void)
{
    for (int i = 0; i < 3; i++) {
        LUCID_SCOPE;
        lucid_conv2d(lucid_ones((1, 16, 16, 16)), lucid_ones((16, 16, 3, 3)), NULL, .padding = 1);
        if (lucid_get_num_threads() < 1 || !lucid_cpu_level()) return 1;
    }
    return 0;
}

static int bogus(void)
{
    setenv("LUCID_CPU", "bogus", 1);
    setenv("OMP_NUM_THREADS", "abc", 1);
    setenv("LUCID_WINOGRAD", "off", 1);
    return uses_all();
}

static int right(void)
{
    setenv("LUCID_CPU", "AVX2", 1);
    setenv("OMP_NUM_THREADS", "2", 1);
    setenv("LUCID_WINOGRAD", "1", 1);
    return uses_all() || lucid_get_num_threads() != 2 || strcmp(lucid_cpu_level(), "avx512") == 0;
}

static int times(const char *text, const char *what)
{
    int n = 0;
    for (; (text = strstr(text, what)); text++) n++;
    return n;
}

Test(default_threads, what_is_ignored_is_said_once)
{
    child c = child_run(bogus);
    cr_expect(WIFEXITED(c.status) && WEXITSTATUS(c.status) == 0);
    cr_expect(times(c.text, "lucid: LUCID_CPU=bogus is ignored: expected generic, ") == 1, "%s",
              c.text);
    cr_expect(times(c.text, "lucid: OMP_NUM_THREADS=abc is ignored: expected a number") == 1, "%s",
              c.text);
    cr_expect(times(c.text, "lucid: LUCID_WINOGRAD=off is ignored: expected 0 or 1") == 1, "%s",
              c.text);
    c = child_run(right);
    cr_expect(WIFEXITED(c.status) && WEXITSTATUS(c.status) == 0);
    cr_expect(c.text[0] == '\0', "%s", c.text);
}
