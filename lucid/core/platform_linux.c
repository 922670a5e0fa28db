/* platform_linux.c: futexes, the affinity mask, control groups and the machine's boot id. */
#include "lucid/core/platform_priv.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *luc_platform(void)
{
    return "linux";
}

/* ---- threads --------------------------------------------------------------------------------- */

void luc_wait_while(atomic_uint *word, unsigned value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

void luc_wake_one(atomic_uint *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void luc_yield(void)
{
    sched_yield();
}

int luc_allowed_cpus(void)
{
    cpu_set_t cpus;
    int n = sched_getaffinity(0, sizeof cpus, &cpus) == 0
                ? CPU_COUNT(&cpus)
                : (int)sysconf(_SC_NPROCESSORS_ONLN); /* more CPUs than a cpu_set_t holds */
    return n < 1 ? 1 : n;
}

/* ---- control groups -------------------------------------------------------------------------- */

enum { PATH_BYTES = 1024 }; /* longer paths are ignored */

/* Reads the first line of a file, without its end. False if there is none. */
static bool read_line(const char *path, char *line, size_t size)
{
    FILE *file = fopen(path, "re");
    bool ok = file && fgets(line, (int)size, file);
    if (file) fclose(file);
    if (ok) line[strcspn(line, "\n")] = '\0';
    return ok;
}

/* The CPUs of `quota` microseconds in each period. 0: no limit. */
static int whole_cpus(const char *quota, const char *period)
{
    char *end;
    const long long q = strtoll(quota, &end, 10); /* "max" and -1: none */
    if (end == quota || q <= 0) return 0;
    const long long p = strtoll(period, &end, 10);
    if (end == period || p <= 0) return 0;
    const long long cpus = q / p + (q % p != 0);
    return cpus > INT_MAX ? INT_MAX : (int)cpus;
}

/* The limit of the group whose folder this is. */
static int limit_of(const char *folder, bool version_2)
{
    char path[PATH_BYTES], quota[64], period[64];
    if (version_2) {
        if (snprintf(path, sizeof path, "%s/cpu.max", folder) >= (int)sizeof path) return 0;
        if (!read_line(path, quota, sizeof quota)) return 0;
        const char *space = strchr(quota, ' ');
        return space ? whole_cpus(quota, space + 1) : 0;
    }
    if (snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder) >= (int)sizeof path) return 0;
    if (!read_line(path, quota, sizeof quota)) return 0;
    if (snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder) >= (int)sizeof path) return 0;
    return read_line(path, period, sizeof period) ? whole_cpus(quota, period) : 0;
}

/* The least limit of the group at `path` below the folder `top` and of the groups above it. A
 * container may see the host's path while its own group is mounted as the top, so folders that do
 * not exist are skipped. */
static int least_limit(const char *root, const char *top, const char *path, bool version_2)
{
    char folder[PATH_BYTES];
    const int length = snprintf(folder, sizeof folder, "%s/sys/fs/cgroup%s%s", root, top, path);
    if (length < 0 || length >= (int)sizeof folder) return 0;
    const size_t least_length = (size_t)length - strlen(path);
    int least = 0;
    for (;;) {
        const int here = limit_of(folder, version_2);
        if (here > 0 && (least == 0 || here < least)) least = here;
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < least_length) return least;
        *slash = '\0';
    }
}

/* Whether "cpu" is in the list "cpu,cpuacct". */
static bool holds_cpu(const char *controllers)
{
    for (const char *at = controllers; *at;) {
        const size_t n = strcspn(at, ",");
        if (n == 3 && memcmp(at, "cpu", 3) == 0) return true;
        at += at[n] ? n + 1 : n;
    }
    return false;
}

/* The limit that a line of /proc/self/cgroup gives, "id:controllers:path". */
static int limit_by(const char *root, char *line)
{
    char *controllers = strchr(line, ':'),
         *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path) return 0;
    *controllers++ = '\0';
    *path++ = '\0';
    path[strcspn(path, "\n")] = '\0';
    if (strcmp(line, "0") == 0 && !*controllers) {
        const int limit = least_limit(root, "", path, true);
        return limit ? limit : least_limit(root, "/unified", path, true);
    }
    if (!holds_cpu(controllers)) return 0;
    char top[64];
    if (snprintf(top, sizeof top, "/%s", controllers) >= (int)sizeof top) return 0;
    const int limit = least_limit(root, top, path, false);
    return limit ? limit : least_limit(root, "/cpu", path, false);
}

int luc_cgroup_cpus(const char *root)
{
    char path[PATH_BYTES], line[PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/proc/self/cgroup", root) >= (int)sizeof path) return 0;
    FILE *file = fopen(path, "re");
    int least = 0;
    while (file && fgets(line, sizeof line, file)) {
        const int limit = limit_by(root, line);
        if (limit > 0 && (least == 0 || limit < least)) least = limit;
    }
    if (file) fclose(file);
    return least;
}

/* ---- the machine ----------------------------------------------------------------------------- */

size_t luc_machine_name(char *text, size_t size)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, size) : -1;
    if (fd >= 0) close(fd);
    if (n > 0) return (size_t)n;
    if (gethostname(text, size - 1) != 0) return 0;
    text[size - 1] = '\0';
    return strlen(text);
}

/* ---- AMX ------------------------------------------------------------------------------------- */

/* A signal's frame grows by the 8 KB of the tiles then. Older kernels do not know the question. */
bool luc_allow_tiles(void)
{
#if defined(__x86_64__)
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#else
    return false;
#endif
}
