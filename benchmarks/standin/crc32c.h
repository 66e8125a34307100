/* CRC-32C (Castagnoli), by the processor's own instruction where it has one. */
#ifndef CRC32C_H
#define CRC32C_H

#include <stddef.h>
#include <stdint.h>

void crc32c_prepare(void);
uint32_t crc32c(const uint8_t *bytes, size_t size);
const char *crc32c_how(void);

#endif
