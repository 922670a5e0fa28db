/* loss_calls.h: how the runner of operators' cases calls losses and norms. */
#ifndef TESTS_REFERENCE_LOSS_CALLS_H
#define TESTS_REFERENCE_LOSS_CALLS_H

#include "tests/reference/op_cases.h"

/* The entry for a loss, a distance or a norm by its name, NULL where it is none of them. */
const op_entry *loss_find(const char *name);

#endif
