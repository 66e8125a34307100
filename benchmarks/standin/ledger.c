#include "ledger.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "crc32c.h"

#define BUCKETS 4096
#define HEADER_SIZE 61
#define CODEC_MASK 7
#define SEQUENCE_LIMIT 0x80000000u

struct counts counts;
enum verification verification = CRC;
char first_error[200];

static struct topic *topics;
static struct topic *by_name[BUCKETS];
static struct topic **beside;
static uint32_t topic_count;
static uint64_t producer_ids = 1000;

void complain(uint64_t *counter, const char *form, ...) {
    (*counter)++;
    if (first_error[0])
        return;
    va_list arguments;
    va_start(arguments, form);
    vsnprintf(first_error, sizeof first_error, form, arguments);
    va_end(arguments);
}

/* Topics are few and made before anything is measured, but looked up once per request: a table of
 * the last one found in each bucket saves the walk. */
static uint32_t bucket(const char *name, size_t size) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (uint8_t)name[i]) * 16777619u;
    return hash % BUCKETS;
}

static bool is_named(const struct topic *t, const char *name, size_t size) {
    return strlen(t->name) == size && memcmp(t->name, name, size) == 0;
}

struct topic *topic_named(const char *name, size_t size) {
    struct topic **found = &by_name[bucket(name, size)];
    if (*found && is_named(*found, name, size))
        return *found;
    for (struct topic *t = topics; t; t = t->next)
        if (is_named(t, name, size))
            return *found = t;
    return NULL;
}

struct topic *topic_with_id(const uint8_t *id) {
    uint32_t number = load_u32(id + 12);
    return number < topic_count && beside[number] && memcmp(beside[number]->id, id, 16) == 0
               ? beside[number]
               : NULL;
}

struct topic *first_topic(void) { return topics; }

bool create_topic(const char *name, uint32_t partitions) {
    if (partitions == 0 || topic_named(name, strlen(name)))
        return false;
    struct topic *t = calloc(1, sizeof *t);
    t->name = strdup(name);
    memcpy(t->id, "counting-hou", 12);
    store_u32(t->id + 12, topic_count);
    t->partition_count = partitions;
    t->partitions = calloc(partitions, sizeof *t->partitions);
    t->next = topics;
    topics = t;
    beside = realloc(beside, (topic_count + 1) * sizeof *beside);
    beside[topic_count++] = t;
    return true;
}

static bool belongs(const struct topic *t, const char *name) {
    size_t size = strlen(name);
    return strncmp(t->name, name, size) == 0 && (t->name[size] == 0 || t->name[size] == '.');
}

static void forget(struct topic *t) {
    beside[load_u32(t->id + 12)] = NULL;
    by_name[bucket(t->name, strlen(t->name))] = NULL;
    for (uint32_t i = 0; i < t->partition_count; i++)
        for (struct writer *w = t->partitions[i].writers, *next; w; w = next) {
            next = w->next;
            free(w);
        }
    free(t->partitions);
    free(t->name);
    free(t);
}

void delete_topics(const char *name) {
    for (struct topic **link = &topics; *link;) {
        struct topic *t = *link;
        if (belongs(t, name)) {
            *link = t->next;
            forget(t);
        } else {
            link = &t->next;
        }
    }
}

uint64_t count_records(const char *name) {
    uint64_t sum = 0;
    for (struct topic *t = topics; t; t = t->next)
        if (belongs(t, name))
            for (uint32_t i = 0; i < t->partition_count; i++)
                sum += t->partitions[i].end_offset;
    return sum;
}

uint64_t new_producer_id(void) { return producer_ids++; }

static struct writer *writer_of(struct partition *p, uint64_t id, uint16_t epoch) {
    for (struct writer *w = p->writers; w; w = w->next)
        if (w->id == id)
            return w;
    struct writer *w = calloc(1, sizeof *w);
    w->id = id;
    w->epoch = epoch;
    w->next = p->writers;
    p->writers = w;
    return w;
}

/* Each record's length and offset delta; keys and values are only stepped over. */
static bool walk(const uint8_t *at, const uint8_t *end, uint32_t count) {
    struct reader r = {at, end, false};
    for (uint32_t i = 0; i < count; i++) {
        int64_t size = read_varint(&r);
        if (r.bad || size < 0 || size > r.end - r.at)
            return false;
        struct reader record = {r.at, r.at + size, false};
        take(&r, (size_t)size);
        take(&record, 1);
        read_varint(&record);
        if (read_varint(&record) != i)
            return false;
        for (int part = 0; part < 2; part++) {
            int64_t length = read_varint(&record);
            if (length < -1 || length > record.end - record.at)
                return false;
            if (length > 0)
                take(&record, (size_t)length);
        }
        int64_t headers = read_varint(&record);
        if (record.bad || headers < 0 || (headers == 0 && record.at != record.end))
            return false;
        counts.checked_records++;
    }
    return !r.bad && r.at == r.end;
}

static enum code check_bytes(const uint8_t *batch, size_t size) {
    if (size < HEADER_SIZE || load_u32(batch + 8) != size - 12 || batch[16] != 2 ||
        load_u32(batch + 57) == 0 || load_u32(batch + 57) != load_u32(batch + 23) + 1) {
        complain(&counts.malformed, "a batch of %zu bytes is malformed", size);
        return CORRUPT_MESSAGE;
    }
    if (verification >= CRC) {
        counts.checked_crcs++;
        if (crc32c(batch + 21, size - 21) != load_u32(batch + 17)) {
            complain(&counts.crc_errors, "a batch of %zu bytes has a wrong CRC", size);
            return CORRUPT_MESSAGE;
        }
    }
    if (verification >= RECORDS && (batch[22] & CODEC_MASK) == 0 &&
        !walk(batch + HEADER_SIZE, batch + size, load_u32(batch + 57))) {
        complain(&counts.record_errors, "the records of a batch of %zu bytes are wrong", size);
        return CORRUPT_MESSAGE;
    }
    return NONE;
}

/* What a broker does with a sequence (KIP-98), but strict: a producer begins with 0. */
static enum code check_sequence(struct partition *p, const uint8_t *batch, uint64_t *offset,
                                struct writer **writer) {
    uint64_t id = load_u64(batch + 43);
    uint16_t epoch = load_u16(batch + 51);
    uint32_t sequence = load_u32(batch + 53);
    if (id == UINT64_MAX)
        return NONE;
    struct writer *w = *writer = writer_of(p, id, epoch);
    if ((int16_t)epoch < (int16_t)w->epoch)
        return INVALID_PRODUCER_EPOCH;
    if (epoch != w->epoch) {
        w->epoch = epoch;
        w->next_sequence = w->known = 0;
    }
    for (uint32_t i = 0; i < REMEMBERED && i < w->known; i++)
        if (w->sequences[i] == sequence) {
            counts.duplicates++;
            *offset = w->offsets[i];
            *writer = NULL;
            return NONE;
        }
    if (sequence != w->next_sequence) {
        complain(&counts.sequence_errors, "sequence %u came where %u was due", sequence,
                 w->next_sequence);
        return OUT_OF_ORDER_SEQUENCE_NUMBER;
    }
    return NONE;
}

enum code append(struct partition *p, const uint8_t *batch, size_t size, uint64_t *offset) {
    *offset = UINT64_MAX;
    enum code wrong = check_bytes(batch, size);
    struct writer *w = NULL;
    if (wrong == NONE)
        wrong = check_sequence(p, batch, offset, &w);
    if (wrong != NONE || *offset != UINT64_MAX)
        return wrong;
    uint32_t count = load_u32(batch + 57);
    *offset = p->end_offset;
    p->end_offset += count;
    counts.batches++;
    counts.records += count;
    counts.bytes += size;
    if (w) {
        uint32_t place = w->known++ % REMEMBERED;
        w->sequences[place] = load_u32(batch + 53);
        w->offsets[place] = *offset;
        w->next_sequence = (uint32_t)(((uint64_t)w->next_sequence + count) % SEQUENCE_LIMIT);
    }
    return NONE;
}
