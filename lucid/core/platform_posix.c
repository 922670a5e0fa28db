/* platform_posix.c: platform_priv.h by means of POSIX only. A table of condition variables
 * replaces futexes, and wakes threads more slowly. Control groups are not known. */
#include "lucid/core/platform_priv.h"
#include "lucid/core/lock_priv.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

const char *luc_platform(void)
{
    return "posix";
}

enum { PLACES = 64 };

/* Threads that sleep for a word do so at the place that its address chooses. */
typedef struct waiting_place {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
} waiting_place;

static waiting_place places[PLACES];
static pthread_once_t places_once = PTHREAD_ONCE_INIT;

static void make_places(void)
{
    for (int i = 0; i < PLACES; i++) {
        pthread_mutex_init(&places[i].mutex, NULL);
        pthread_cond_init(&places[i].changed, NULL);
    }
}

/* The threads that slept, or were about to, do not exist in a child of fork: it begins with new
 * mutexes, because one of those threads may have held one. */
static void prepare_places(void)
{
    make_places();
    luc_in_forked_child(make_places);
}

static waiting_place *place_of(const atomic_uint *word)
{
    pthread_once(&places_once, prepare_places);
    return &places[(uint64_t)(uintptr_t)word * 0x9e3779b97f4a7c15u >> 58];
}

void luc_wait_while(atomic_uint *word, unsigned value)
{
    waiting_place *place = place_of(word);
    pthread_mutex_lock(&place->mutex);
    if (atomic_load(word) == value) pthread_cond_wait(&place->changed, &place->mutex);
    pthread_mutex_unlock(&place->mutex);
}

/* All threads of the place wake up, because those of other words may sleep there too. */
void luc_wake_one(atomic_uint *word)
{
    waiting_place *place = place_of(word);
    pthread_mutex_lock(&place->mutex);
    pthread_cond_broadcast(&place->changed);
    pthread_mutex_unlock(&place->mutex);
}

void luc_yield(void)
{
    sched_yield();
}

int luc_allowed_cpus(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > INT32_MAX ? INT32_MAX : (int)n;
}

int luc_cgroup_cpus(const char *root)
{
    (void)root;
    return 0;
}

size_t luc_machine_name(char *text, size_t size)
{
    if (gethostname(text, size - 1) != 0) return 0;
    text[size - 1] = '\0';
    return strlen(text);
}

bool luc_allow_tiles(void)
{
    return false;
}
