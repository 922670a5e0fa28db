/* arguments.c: the options that the examples share. */
#include "arguments.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool refuse(arguments *a, const char *program, const char *argument, const char *why)
{
    fprintf(stderr, "%s: %s: %s; --help tells more\n", program, argument, why);
    a->status = 2;
    return false;
}

static bool read_count(const char *text, int *count)
{
    char *end;
    const long n = strtol(text, &end, 10);
    *count = n > 0 && n < INT_MAX ? (int)n : 0;
    return end != text && !*end && *count > 0;
}

/* Where the value of this option goes; NULL where the program has no such option. */
static const char **text_option(arguments *a, const char *name, const char *help)
{
    const char **const places[] = {&a->data, &a->load, &a->save};
    const char *const names[] = {"--data", "--load", "--save"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(name, names[i]) && strstr(help, name)) return places[i];
    return NULL;
}

bool arguments_parse(arguments *a, int argc, char **argv, const char *help)
{
    const char *slash = strrchr(argv[0], '/'), *program = slash ? slash + 1 : argv[0];
    *a = (arguments){0};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], **text = text_option(a, name, help);
        if (!strcmp(name, "--help")) {
            a->status = fputs(help, stdout) < 0;
            return false;
        }
        if (!strcmp(name, "--quick")) {
            a->quick = true;
            continue;
        }
        const bool count = !strcmp(name, "--epochs") && strstr(help, name);
        if (!text && !count) return refuse(a, program, name, "no such option");
        if (++i == argc) return refuse(a, program, name, "a value is missing");
        if (text) *text = argv[i];
        if (count && !read_count(argv[i], &a->epochs))
            return refuse(a, program, argv[i], "expected a number from 1 on");
    }
    if (!a->data && !a->quick && strstr(help, "--data"))
        return refuse(a, program, "--data", "needed without --quick");
    return true;
}

int arguments_epochs(const arguments *a, int usual, int quick)
{
    if (a->epochs) return a->epochs;
    return a->quick ? quick : usual;
}
