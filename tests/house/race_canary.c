/* Two threads that write one variable: `./run tsan` must report it, otherwise its silence about all
 * other programs means nothing. */
#include <pthread.h>
#include <stddef.h>

static int shared;

static void *write_it(void *unused)
{
    for (int i = 0; i < 1000; i++) shared++;
    return unused;
}

int main(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, write_it, NULL) != 0) return 1;
    write_it(NULL);
    return pthread_join(thread, NULL) != 0;
}
