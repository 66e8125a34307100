#include "answers.h"

#include <string.h>

#include "ledger.h"

enum api { PRODUCE = 0, FETCH = 1, LIST_OFFSETS = 2, METADATA = 3, FIND_COORDINATOR = 10,
           API_VERSIONS = 18, INIT_PRODUCER_ID = 22 };

struct range {
    uint16_t key;
    uint16_t oldest;
    uint16_t newest;
};

/* Some clients deduce from the readers' APIs what kind of broker it is; nobody asks for those. */
static const struct range ranges[] = {
    {PRODUCE, 3, 13}, {FETCH, 4, 12}, {LIST_OFFSETS, 1, 6}, {METADATA, 0, 12},
    {FIND_COORDINATOR, 0, 3}, {API_VERSIONS, 0, 4}, {INIT_PRODUCER_ID, 0, 4},
};
#define RANGES (sizeof ranges / sizeof *ranges)

static uint16_t flexible_from(uint16_t key) {
    return key == INIT_PRODUCER_ID ? 2 : key == API_VERSIONS ? 3 : 9;
}

static bool is_known(uint16_t key, uint16_t version) {
    for (size_t i = 0; i < RANGES; i++)
        if (ranges[i].key == key)
            return version >= ranges[i].oldest && version <= ranges[i].newest;
    return false;
}

static void api_versions(uint16_t version, struct buffer *out) {
    /* A version that is too new gets the oldest layout, which every client can read (KIP-511). */
    bool unsupported = !is_known(API_VERSIONS, version);
    uint16_t said = unsupported ? 0 : version;
    bool flexible = said >= 3;
    put_u16(out, unsupported ? 35 : NONE);
    put_count(out, flexible, RANGES);
    for (size_t i = 0; i < RANGES; i++) {
        put_u16(out, ranges[i].key);
        put_u16(out, ranges[i].oldest);
        put_u16(out, ranges[i].newest);
        put_no_tags(out, flexible);
    }
    if (said >= 1)
        put_u32(out, 0);
    put_no_tags(out, flexible);
}

static void put_partition(const struct cluster *cluster, uint16_t version, const struct topic *t,
                          uint32_t index, struct buffer *out) {
    bool flexible = version >= 9;
    /* Topics of one partition each have to be spread over the nodes, too. */
    uint32_t leader = (index + load_u32(t->id + 12)) % cluster->nodes;
    put_u16(out, NONE);
    put_u32(out, index);
    put_u32(out, leader);
    if (version >= 7)
        put_u32(out, 0);
    for (int list = 0; list < 2; list++) {
        put_count(out, flexible, 1);
        put_u32(out, leader);
    }
    if (version >= 5)
        put_count(out, flexible, 0);
    put_no_tags(out, flexible);
}

static void put_topic(const struct cluster *cluster, uint16_t version, const struct topic *t,
                      const char *name, struct buffer *out) {
    static const uint8_t no_id[16];
    bool flexible = version >= 9;
    put_u16(out, t ? NONE : UNKNOWN_TOPIC_OR_PARTITION);
    put_string(out, flexible, t ? t->name : name);
    if (version >= 10)
        put(out, t ? t->id : no_id, 16);
    if (version >= 1)
        put_u8(out, 0);
    uint32_t count = t ? t->partition_count : 0;
    put_count(out, flexible, count);
    for (uint32_t i = 0; i < count; i++)
        put_partition(cluster, version, t, i, out);
    if (version >= 8)
        put_u32(out, 0x80000000u);
    put_no_tags(out, flexible);
}

static void put_brokers(const struct cluster *cluster, uint16_t version, struct buffer *out) {
    bool flexible = version >= 9;
    put_count(out, flexible, cluster->nodes);
    for (uint32_t node = 0; node < cluster->nodes; node++) {
        put_u32(out, node);
        put_string(out, flexible, "127.0.0.1");
        put_u32(out, cluster->ports[node]);
        if (version >= 1)
            put_string(out, flexible, NULL);
        put_no_tags(out, flexible);
    }
    if (version >= 2)
        put_string(out, flexible, "counting-house");
    if (version >= 1)
        put_u32(out, 0);
}

static void metadata(const struct cluster *cluster, uint16_t version, struct reader *r,
                     struct buffer *out) {
    bool flexible = version >= 9;
    if (version >= 3)
        put_u32(out, 0);
    put_brokers(cluster, version, out);
    int64_t asked = read_length(r, flexible);
    if (asked < 0 || (asked == 0 && version == 0)) {
        uint32_t count = 0;
        for (struct topic *t = first_topic(); t; t = t->next)
            count++;
        put_count(out, flexible, count);
        for (struct topic *t = first_topic(); t; t = t->next)
            put_topic(cluster, version, t, NULL, out);
    } else {
        put_count(out, flexible, (uint32_t)asked);
        for (; asked > 0 && !r->bad; asked--) {
            const uint8_t *id = version >= 10 ? take(r, 16) : NULL;
            int64_t size = read_string_length(r, flexible);
            char name[256] = "";
            if (size > 255)
                r->bad = true;
            else if (size > 0)
                memcpy(name, take(r, (size_t)size), (size_t)size);
            skip_tags(r, flexible);
            struct topic *t = size > 0 ? topic_named(name, (size_t)size)
                              : id     ? topic_with_id(id)
                                       : NULL;
            put_topic(cluster, version, t, name, out);
        }
    }
    if (version >= 8 && version <= 10)
        put_u32(out, 0x80000000u);
    put_no_tags(out, flexible);
}

static void init_producer_id(uint16_t version, struct reader *r, struct buffer *out) {
    bool flexible = version >= 2;
    int64_t size = read_string_length(r, flexible);
    if (size > 0)
        take(r, (size_t)size);
    read_u32(r);
    uint64_t id = UINT64_MAX;
    uint16_t epoch = 0xffff;
    if (version >= 3) {
        id = read_u64(r);
        epoch = read_u16(r);
    }
    put_u32(out, 0);
    put_u16(out, NONE);
    put_u64(out, id == UINT64_MAX ? new_producer_id() : id);
    put_u16(out, id == UINT64_MAX ? 0 : (uint16_t)(epoch + 1));
    put_no_tags(out, flexible);
}

static void put_appended(uint16_t version, uint32_t index, enum code code, uint64_t offset,
                         struct buffer *out) {
    bool flexible = version >= 9;
    put_u32(out, index);
    put_u16(out, code);
    put_u64(out, code == NONE ? offset : UINT64_MAX);
    put_u64(out, UINT64_MAX);
    if (version >= 5)
        put_u64(out, code == NONE ? 0 : UINT64_MAX);
    if (version >= 8) {
        put_count(out, flexible, 0);
        put_string(out, flexible, NULL);
    }
    put_no_tags(out, flexible);
}

/* Appends the partitions of one topic; `r` is at their count. */
static void produce_partitions(uint16_t version, struct topic *t, struct reader *r,
                               struct buffer *out) {
    bool flexible = version >= 9;
    int64_t count = read_length(r, flexible);
    put_count(out, flexible, count < 0 ? 0 : (uint32_t)count);
    for (; count > 0 && !r->bad; count--) {
        uint32_t index = read_u32(r);
        int64_t size = read_length(r, flexible);
        const uint8_t *batch = take(r, size < 0 ? 0 : (size_t)size);
        skip_tags(r, flexible);
        if (r->bad)
            return;
        uint64_t offset = 0;
        enum code code = version >= 13 && !t ? UNKNOWN_TOPIC_ID : UNKNOWN_TOPIC_OR_PARTITION;
        if (t && index < t->partition_count)
            code = append(&t->partitions[index], batch, size < 0 ? 0 : (size_t)size, &offset);
        put_appended(version, index, code, offset, out);
    }
}

/* Returns whether an answer is due: with acks=0 there is none. */
static bool produce(uint16_t version, struct reader *r, struct buffer *out) {
    bool flexible = version >= 9;
    int64_t size = read_string_length(r, flexible);
    if (size > 0)
        take(r, (size_t)size);
    uint16_t acks = read_u16(r);
    read_u32(r);
    int64_t topics = read_length(r, flexible);
    put_count(out, flexible, topics < 0 ? 0 : (uint32_t)topics);
    for (; topics > 0 && !r->bad; topics--) {
        struct topic *t;
        if (version >= 13) {
            const uint8_t *id = take(r, 16);
            t = topic_with_id(id);
            put(out, id, 16);
        } else {
            int64_t length = read_string_length(r, flexible);
            const char *name = (const char *)take(r, length < 0 ? 0 : (size_t)length);
            if (r->bad)
                return false;
            t = topic_named(name, (size_t)length);
            if (flexible)
                put_uvarint(out, (uint64_t)length + 1);
            else
                put_u16(out, (uint16_t)length);
            put(out, name, (size_t)length);
        }
        produce_partitions(version, t, r, out);
        skip_tags(r, flexible);
        put_no_tags(out, flexible);
    }
    put_u32(out, 0);
    put_no_tags(out, flexible);
    counts.requests++;
    return acks != 0;
}

bool answer(const struct cluster *cluster, struct reader request, struct buffer *out) {
    struct reader *r = &request;
    size_t start = out->size;
    uint16_t key = read_u16(r);
    uint16_t version = read_u16(r);
    uint32_t correlation = read_u32(r);
    if (key != API_VERSIONS && !is_known(key, version)) {
        complain(&counts.malformed, "a request for API %u version %u", key, version);
        return false;
    }
    bool flexible = version >= flexible_from(key);
    int64_t client_id = read_string_length(r, false);
    if (client_id > 0)
        take(r, (size_t)client_id);
    skip_tags(r, flexible);
    put_u32(out, 0);
    put_u32(out, correlation);
    put_no_tags(out, flexible && key != API_VERSIONS);
    bool due = true;
    if (key == PRODUCE)
        due = produce(version, r, out);
    else if (key == METADATA)
        metadata(cluster, version, r, out);
    else if (key == API_VERSIONS)
        api_versions(version, out);
    else if (key == INIT_PRODUCER_ID)
        init_producer_id(version, r, out);
    else
        r->bad = true;
    if (r->bad) {
        complain(&counts.malformed, "a request for API %u version %u ends early", key, version);
        out->size = start;
        return false;
    }
    if (due)
        store_u32(out->bytes + start, (uint32_t)(out->size - start - 4));
    else
        out->size = start;
    return true;
}
