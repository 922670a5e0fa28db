/* extend.h: what operators and backends of your own need besides lucid/lucid.h.
 * docs/add_an_op.md and docs/add_a_backend.md show both. */
#ifndef LUCID_EXTEND_H
#define LUCID_EXTEND_H

#include "lucid.h"

#include "core/attrs.h"
#include "core/backend.h"
#include "../autograd/op.h"

#endif
