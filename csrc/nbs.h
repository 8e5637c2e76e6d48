/* nbs.h - what C code includes: the guard and the headers around nbs_api.h, which cffi
 * reads as it stands and which therefore has neither. */
#ifndef NBS_H
#define NBS_H

#include <stddef.h>
#include <stdint.h>

/* Only these functions leave the shared object; everything else is hidden. */
#pragma GCC visibility push(default)
#include "nbs_api.h"
#pragma GCC visibility pop

#endif
