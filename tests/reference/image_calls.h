/* image_calls.h: how the runner of operators' cases calls interpolation, pooling and sampling. */
#ifndef TESTS_REFERENCE_IMAGE_CALLS_H
#define TESTS_REFERENCE_IMAGE_CALLS_H

#include "tests/reference/op_cases.h"

/* The entry for such an operator by its name, NULL where it is none. */
const op_entry *image_find(const char *name);

#endif
