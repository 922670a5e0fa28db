/* lock.c: the library's locks, and their state after a fork. */
#include "lucid/core/lock_priv.h"
#include "lucid/core/platform_priv.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

enum { STRIPES = 64, LISTENERS = 8 };

/* Each on a cache line of its own: threads that take different locks do not disturb each other. */
#define FREE                      \
    {                             \
        PTHREAD_MUTEX_INITIALIZER \
    }
#define EIGHT FREE, FREE, FREE, FREE, FREE, FREE, FREE, FREE
static struct {
    _Alignas(64) pthread_mutex_t mutex;
} locks[] = {EIGHT, EIGHT, EIGHT, EIGHT};
_Static_assert(LUC_LOCKS <= 32, "there are 32 locks, and 32 bits for those that a thread holds");

static struct {
    _Alignas(64) atomic_bool taken;
} spins[LUC_SPIN_KINDS][STRIPES];

/* Bit id: this thread holds the lock. */
static __thread uint32_t held __attribute__((tls_model("initial-exec")));
static __thread uint32_t held_for_fork;

void luc_lock(luc_lock_id id)
{
    assert(held >> id == 0); /* locks are taken in the order of the table */
    pthread_mutex_lock(&locks[id].mutex);
    held |= 1u << id;
}

bool luc_lock_try(luc_lock_id id)
{
    if (pthread_mutex_trylock(&locks[id].mutex) != 0) return false;
    held |= 1u << id;
    return true;
}

bool luc_lock_is_held(luc_lock_id id)
{
    return held >> id & 1;
}

void luc_unlock(luc_lock_id id)
{
    assert(luc_lock_is_held(id));
    held &= ~(1u << id);
    pthread_mutex_unlock(&locks[id].mutex);
}

static atomic_bool *stripe(luc_spin_kind kind, const void *guarded)
{
    uint64_t h = (uint64_t)(uintptr_t)guarded * 0x9e3779b97f4a7c15u;
    return &spins[kind][h >> 58].taken;
}

static void spin(atomic_bool *taken)
{
    while (atomic_exchange_explicit(taken, true, memory_order_acquire)) luc_yield();
}

void luc_spin_lock(luc_spin_kind kind, const void *guarded)
{
    spin(stripe(kind, guarded));
}

void luc_spin_unlock(luc_spin_kind kind, const void *guarded)
{
    atomic_store_explicit(stripe(kind, guarded), false, memory_order_release);
}

/* ---- fork ------------------------------------------------------------------------------------ */

static _Atomic(void (*)(void)) listeners[LISTENERS];
static unsigned forks; /* written only while the process has one thread */

void luc_in_forked_child(void (*fn)(void))
{
    for (int i = 0; i < LISTENERS; i++) {
        void (*there)(void) = NULL;
        if (atomic_compare_exchange_strong(&listeners[i], &there, fn) || there == fn) return;
    }
    assert(!"LISTENERS is too small");
}

unsigned luc_fork_depth(void)
{
    return forks;
}

/* A thread may fork while it holds a lock itself: the CUDA driver starts a program when it is
 * loaded. Such a lock stays held, in the parent and in the child. */
static void before_fork(void)
{
    const uint32_t mine = held;
    for (int id = 0; id < LUC_LOCKS; id++)
        if (!(mine >> id & 1)) pthread_mutex_lock(&locks[id].mutex);
    for (int kind = 0; kind < LUC_SPIN_KINDS; kind++)
        for (int i = 0; i < STRIPES; i++) spin(&spins[kind][i].taken);
    held_for_fork = ~mine;
}

static void give_back(void)
{
    for (int kind = 0; kind < LUC_SPIN_KINDS; kind++)
        for (int i = 0; i < STRIPES; i++)
            atomic_store_explicit(&spins[kind][i].taken, false, memory_order_release);
    for (int id = LUC_LOCKS - 1; id >= 0; id--)
        if (held_for_fork >> id & 1) pthread_mutex_unlock(&locks[id].mutex);
}

static void in_child(void)
{
    forks++;
    for (int i = 0; i < LISTENERS; i++) {
        void (*fn)(void) = atomic_load(&listeners[i]);
        if (fn) fn();
    }
    give_back();
}

/* It runs before main, because a program may fork before it calls lucid. */
__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(before_fork, give_back, in_child);
}
