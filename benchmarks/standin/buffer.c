#include "buffer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint16_t load_u16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }

uint32_t load_u32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

uint64_t load_u64(const uint8_t *at) { return (uint64_t)load_u32(at) << 32 | load_u32(at + 4); }

void store_u32(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

const uint8_t *take(struct reader *r, size_t size) {
    static const uint8_t zeros[16];
    if (r->bad || size > (size_t)(r->end - r->at)) {
        r->bad = true;
        return zeros;
    }
    const uint8_t *at = r->at;
    r->at += size;
    return at;
}

uint16_t read_u16(struct reader *r) { return load_u16(take(r, 2)); }
uint32_t read_u32(struct reader *r) { return load_u32(take(r, 4)); }
uint64_t read_u64(struct reader *r) { return load_u64(take(r, 8)); }

uint64_t read_uvarint(struct reader *r) {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        uint8_t byte = *take(r, 1);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    r->bad = true;
    return 0;
}

int64_t read_varint(struct reader *r) {
    uint64_t value = read_uvarint(r);
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

static int64_t checked(struct reader *r, int64_t length) {
    /* Whatever it counts takes at least a byte each. */
    if (length < -1 || length > r->end - r->at)
        r->bad = true;
    return r->bad ? -1 : length;
}

int64_t read_length(struct reader *r, bool flexible) {
    return checked(r, flexible ? (int64_t)read_uvarint(r) - 1 : (int32_t)read_u32(r));
}

int64_t read_string_length(struct reader *r, bool flexible) {
    return checked(r, flexible ? (int64_t)read_uvarint(r) - 1 : (int16_t)read_u16(r));
}

void skip_tags(struct reader *r, bool flexible) {
    if (!flexible)
        return;
    for (uint64_t left = read_uvarint(r); left > 0 && !r->bad; left--) {
        read_uvarint(r);
        uint64_t size = read_uvarint(r);
        if (size > (uint64_t)(r->end - r->at))
            r->bad = true;
        else
            take(r, size);
    }
}

void reserve(struct buffer *b, size_t more) {
    if (b->size + more <= b->capacity)
        return;
    size_t wanted = b->capacity ? b->capacity : 4096;
    while (wanted < b->size + more)
        wanted *= 2;
    uint8_t *bytes = realloc(b->bytes, wanted);
    if (bytes == NULL) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    b->bytes = bytes;
    b->capacity = wanted;
}

void put(struct buffer *b, const void *bytes, size_t size) {
    reserve(b, size);
    if (size)
        memcpy(b->bytes + b->size, bytes, size);
    b->size += size;
}

void put_u8(struct buffer *b, uint8_t value) { put(b, &value, 1); }

void put_u16(struct buffer *b, uint16_t value) {
    uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};
    put(b, bytes, 2);
}

void put_u32(struct buffer *b, uint32_t value) {
    uint8_t bytes[4];
    store_u32(bytes, value);
    put(b, bytes, 4);
}

void put_u64(struct buffer *b, uint64_t value) {
    put_u32(b, (uint32_t)(value >> 32));
    put_u32(b, (uint32_t)value);
}

void put_uvarint(struct buffer *b, uint64_t value) {
    for (; value > 0x7f; value >>= 7)
        put_u8(b, (uint8_t)(value | 0x80));
    put_u8(b, (uint8_t)value);
}

void put_count(struct buffer *b, bool flexible, uint32_t count) {
    if (flexible)
        put_uvarint(b, (uint64_t)count + 1);
    else
        put_u32(b, count);
}

void put_string(struct buffer *b, bool flexible, const char *text) {
    size_t size = text ? strlen(text) : 0;
    if (flexible)
        put_uvarint(b, text ? size + 1 : 0);
    else
        put_u16(b, text ? (uint16_t)size : 0xffff);
    put(b, text, size);
}

void put_no_tags(struct buffer *b, bool flexible) {
    if (flexible)
        put_u8(b, 0);
}
