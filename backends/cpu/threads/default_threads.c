/* default_threads.c: OMP_NUM_THREADS, or the number of CPUs that the system allows. */
#include "backends/cpu/threads/default_threads.h"
#include "backends/cpu/threads/parallel.h"
#include "lucid/core/platform_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int luc_omp_threads(const char *text, char *message, size_t size)
{
    message[0] = '\0';
    if (!text || !*text) return 0;
    char *end;
    errno = 0;
    const long n = strtol(text, &end, 10);
    end += strspn(end, " \t");
    if (end == text || (*end && *end != ',') || n < 1) {
        snprintf(message, size, "OMP_NUM_THREADS=%.40s is ignored: expected a number from 1 to %d",
                 text, LUC_MAX_THREADS);
        return 0;
    }
    if (n <= LUC_MAX_THREADS) return (int)n;
    snprintf(message, size, "OMP_NUM_THREADS=%.40s: at most %d threads are used", text,
             LUC_MAX_THREADS);
    return LUC_MAX_THREADS;
}

int luc_default_threads(void)
{
    char message[160];
    int n = luc_omp_threads(getenv("OMP_NUM_THREADS"), message, sizeof message);
    if (n == 0) {
        n = luc_allowed_cpus();
        const int limit = luc_cgroup_cpus("");
        if (limit > 0 && limit < n) n = limit;
    }
    if (*message) fprintf(stderr, "lucid: %s\n", message);
    return n < 1 ? 1 : n > LUC_MAX_THREADS ? LUC_MAX_THREADS : n;
}
