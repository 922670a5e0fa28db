/* arguments.h: the options that the examples share. */
#ifndef EXAMPLES_ARGUMENTS_H
#define EXAMPLES_ARGUMENTS_H

#include <stdbool.h>

typedef struct arguments {
    const char *data; /* --data DIR */
    const char *load; /* --load FILE */
    const char *save; /* --save FILE */
    int epochs;       /* --epochs N; 0 where it was not given */
    bool quick;       /* --quick: a few seconds, without data */
    int status;       /* of the program, where arguments_parse returns false */
} arguments;

/* Reads the command line. A program takes those options whose names stand in its help text, and
 * --help, which prints the text. False: the program ends, with a->status. */
bool arguments_parse(arguments *a, int argc, char **argv, const char *help);
/* The number of epochs: that of the command line, else one of the two. */
int arguments_epochs(const arguments *a, int usual, int quick);

#endif
