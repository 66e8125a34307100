/* Bytes in network order: a reader that never leaves its bounds, and a buffer that grows. */
#ifndef BUFFER_H
#define BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is left of a request. Reading past the end sets `bad` and gives zeros from then on. */
struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

const uint8_t *take(struct reader *r, size_t size);
uint16_t read_u16(struct reader *r);
uint32_t read_u32(struct reader *r);
uint64_t read_u64(struct reader *r);
uint64_t read_uvarint(struct reader *r);
int64_t read_varint(struct reader *r);
/* A count or length as this version writes it; -1 is null. */
int64_t read_length(struct reader *r, bool flexible);
int64_t read_string_length(struct reader *r, bool flexible);
void skip_tags(struct reader *r, bool flexible);

struct buffer {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
};

/* Make room for `more` bytes behind those that are there; ends the program when memory is out. */
void reserve(struct buffer *b, size_t more);
void put(struct buffer *b, const void *bytes, size_t size);
void put_u8(struct buffer *b, uint8_t value);
void put_u16(struct buffer *b, uint16_t value);
void put_u32(struct buffer *b, uint32_t value);
void put_u64(struct buffer *b, uint64_t value);
void put_uvarint(struct buffer *b, uint64_t value);
void put_count(struct buffer *b, bool flexible, uint32_t count);
void put_string(struct buffer *b, bool flexible, const char *text);
void put_no_tags(struct buffer *b, bool flexible);

uint16_t load_u16(const uint8_t *at);
uint32_t load_u32(const uint8_t *at);
uint64_t load_u64(const uint8_t *at);
void store_u32(uint8_t *at, uint32_t value);

#endif
