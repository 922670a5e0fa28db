/* Leaks on purpose, under AddressSanitizer only: `./run asan` runs this first, because a report
 * without leaks means nothing where leaks would not be found. */
#include <stdlib.h>

static void *volatile held;

static void leak(void)
{
    held = malloc(64);
    held = NULL;
}

int main(void)
{
    leak();
    return 0;
}
