#!/bin/sh
# A program, or a Python, that loads lucid while it runs: the system keeps little room for what is
# thread-local in such libraries, and threads may end after it was given back.
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"
name='the library can be loaded by dlopen, used in a thread and closed before the thread ends'

cat >"$scratch/late.c" <<'END'
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

static void *library;

static void *use(void *unused)
{
    void *(*scalar)(double) = (void *(*)(double))dlsym(library, "lucid_scalar");
    double (*item)(void *) = (double (*)(void *))dlsym(library, "lucid_item");
    void (*mode)(int) = (void (*)(int))dlsym(library, "lucid_set_error_mode");
    const char *(*error)(void) = (const char *(*)(void))dlsym(library, "lucid_error");
    mode(1); /* LUCID_ERRORS_RETURN */
    if (item(scalar(3)) != 3) fprintf(stderr, "%s\n", error());
    item(NULL);
    if (!error()[0]) fprintf(stderr, "no error\n");
    dlclose(library);
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    library = dlopen(argc > 1 ? argv[1] : "", RTLD_NOW);
    if (!library) return fprintf(stderr, "%s\n", dlerror());
    return pthread_create(&thread, NULL, use, NULL) || pthread_join(thread, NULL);
}
END
${CC:-cc} -o "$scratch/late" "$scratch/late.c" -ldl -pthread >"$scratch/said" 2>&1 &&
    "$scratch/late" "$LUCID_BUILD/liblucid.so" >>"$scratch/said" 2>&1 ||
    echo "ended with $?" >>"$scratch/said"
expect_empty "$name" "$scratch/said"
finish
