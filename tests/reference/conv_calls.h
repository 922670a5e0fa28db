/* conv_calls.h: how the runner of operators' cases calls convolutions of any rank. */
#ifndef TESTS_REFERENCE_CONV_CALLS_H
#define TESTS_REFERENCE_CONV_CALLS_H

#include "tests/reference/op_cases.h"

/* The entry for a convolution, unfold or fold by its name, NULL where it is none of them. */
const op_entry *conv_find(const char *name);

#endif
