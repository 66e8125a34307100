/* What has arrived: topics, end offsets, and the sequences of idempotent producers. */
#ifndef LEDGER_H
#define LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum verification { HEADERS, CRC, RECORDS };

enum code {
    NONE = 0,
    CORRUPT_MESSAGE = 2,
    UNKNOWN_TOPIC_OR_PARTITION = 3,
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45,
    INVALID_PRODUCER_EPOCH = 47,
    UNKNOWN_TOPIC_ID = 100,
};

#define REMEMBERED 5

/* The last batches of one producer in one partition, as brokers remember them. */
struct writer {
    struct writer *next;
    uint64_t id;
    uint16_t epoch;
    uint32_t next_sequence;
    uint32_t known;
    uint32_t sequences[REMEMBERED];
    uint64_t offsets[REMEMBERED];
};

struct partition {
    uint64_t end_offset;
    struct writer *writers;
};

struct topic {
    struct topic *next;
    char *name;
    uint8_t id[16];
    uint32_t partition_count;
    struct partition *partitions;
};

struct counts {
    uint64_t requests;
    uint64_t batches;
    uint64_t records;
    uint64_t bytes;
    uint64_t duplicates;
    uint64_t checked_crcs;
    uint64_t checked_records;
    uint64_t malformed;
    uint64_t crc_errors;
    uint64_t sequence_errors;
    uint64_t record_errors;
};

extern struct counts counts;
extern enum verification verification;
extern char first_error[200];

struct topic *topic_named(const char *name, size_t size);
struct topic *topic_with_id(const uint8_t *id);
struct topic *first_topic(void);
bool create_topic(const char *name, uint32_t partitions);
void delete_topics(const char *name);
/* The end offsets of the topic and of those whose names begin with it and a dot. */
uint64_t count_records(const char *name);
uint64_t new_producer_id(void);
/* Check one batch and append it; sets the offset that it has. */
enum code append(struct partition *p, const uint8_t *batch, size_t size, uint64_t *offset);

void complain(uint64_t *counter, const char *form, ...)
    __attribute__((format(printf, 2, 3)));

#endif
