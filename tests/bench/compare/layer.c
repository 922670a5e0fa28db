/* layer.c: rows of the comparison. */
#include "row.h"

const row layer_rows[] = {
    {.name = NULL},
};
