/* From a request to its answer. */
#ifndef ANSWERS_H
#define ANSWERS_H

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"

struct cluster {
    uint32_t nodes;
    const uint16_t *ports;
};

/* Append the answer, with its size in front, or nothing if none is due; false if the request cannot
 * be understood and its connection has to go. */
bool answer(const struct cluster *cluster, struct reader request, struct buffer *out);

#endif
