/* platform_priv.h: what differs between operating systems: how a thread sleeps until a word of
 * memory changes, and what the system says about its CPUs and about itself.
 *
 * One file of lucid/platform_*.c is built, which the Meson option `platform` chooses:
 * platform_linux.c (futexes, control groups, /proc) or platform_posix.c (condition variables,
 * sysconf). No other file calls the system for these purposes: tests/house/test_locks.sh reads the
 * sources. */
#ifndef LUCID_PLATFORM_PRIV_H
#define LUCID_PLATFORM_PRIV_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* "linux" or "posix": the file that was built. */
const char *luc_platform(void);

/* Sleeps while *word is `value`, until luc_wake_one is called for the same word. It may return
 * earlier without a reason: the caller looks at the word and calls it again. */
void luc_wait_while(atomic_uint *word, unsigned value);

/* Wakes a thread that sleeps for this word, if there is one. The caller has changed the word
 * before. */
void luc_wake_one(atomic_uint *word);

/* Lets other threads run first. */
void luc_yield(void);

/* The number of CPUs that this process may run on, at least 1. */
int luc_allowed_cpus(void);

/* The number of CPUs that the control groups of this process allow, rounded up (`docker run
 * --cpus`, Kubernetes' limits, systemd's CPUQuota). It is the least of cpu.max (version 2) or of
 * cpu.cfs_quota_us and cpu.cfs_period_us (version 1), from the process's own group up to the root.
 * 0: there is no limit, or none can be read. `root` is put before /proc and /sys; it is "" except
 * in tests. */
int luc_cgroup_cpus(const char *root);

/* Writes what names this machine since it was started into text, without a final NUL, and returns
 * the number of bytes. All containers of a machine get the same name. 0: the machine has none. */
size_t luc_machine_name(char *text, size_t size);

/* Asks for the registers of Intel's AMX, which the system gives to a process that wants them.
 * False: it refuses, as some containers do, or does not know of them. Asking again changes
 * nothing. */
bool luc_allow_tiles(void);

#endif
