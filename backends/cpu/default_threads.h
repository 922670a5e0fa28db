/* default_threads.h: how many threads a program gets that asks for no number. */
#ifndef LUC_DEFAULT_THREADS_H
#define LUC_DEFAULT_THREADS_H

#include <stddef.h>

/* The CPUs that the control groups of this process allow it, rounded up to whole ones (`docker run
 * --cpus`, Kubernetes' limits, systemd's CPUQuota): the least of cpu.max (version 2) or of
 * cpu.cfs_quota_us and cpu.cfs_period_us (version 1) from its own group up to the root. 0: no
 * limit, or none that can be read. `root` stands before /proc and /sys: "" but in tests. */
int luc_cgroup_cpus(const char *root);

/* The number that OMP_NUM_THREADS asks for, `text`: at most LUC_MAX_THREADS. Of a list ("4,2", one
 * number for each level of nesting) the first counts. 0: none, because text is NULL or empty, or is
 * no number from 1 on. What is ignored is explained in `message`, else that is "". */
int luc_omp_threads(const char *text, char *message, size_t size);

/* OMP_NUM_THREADS, else the CPUs that this process may run on, or fewer where its control groups
 * allow fewer. Prints one line to stderr where OMP_NUM_THREADS is not followed. */
int luc_default_threads(void);

#endif
