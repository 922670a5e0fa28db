/* vector.h: all parameters of a module as one vector.
 *
 *     lucid_tensor *v = lucid_parameters_to_vector(net);
 *     lucid_vector_to_parameters(net, lucid_mul(v, 0.5));
 *
 * Threads: one at a time for a module. */
#ifndef LUCID_NN_VECTOR_H
#define LUCID_NN_VECTOR_H

#include "module.h"

LUCID_BEGIN_DECLS

/* The elements of all parameters, in order, as [numel]: recorded, so that its gradient flows into
 * the parameters. NULL on an error: parameters on several devices or of several dtypes, or none. */
LUCID_API lucid_tensor *lucid_parameters_to_vector(lucid_module *module);
/* Writes such a vector, of any floating dtype, into the parameters: in place, without recording. An
 * error, and nothing is written, where it has another number of elements. */
LUCID_API bool lucid_vector_to_parameters(lucid_module *module, lucid_tensor *vector);

LUCID_END_DECLS
#endif
