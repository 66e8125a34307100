/* A stand-in for a Kafka cluster that counts, checks and acknowledges: `standin NODES`.
 *
 * Each node is a port of this one process. Commands are lines on the standard input, answers are
 * lines of JSON on the standard output; the end of the input is the end of the program.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "answers.h"
#include "buffer.h"
#include "crc32c.h"
#include "ledger.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

#define MAX_NODES 64
#define READ_AT_LEAST (256 * 1024)
#define LARGEST_REQUEST (256u * 1024 * 1024)
#define TURN_BYTES (4 * 1024 * 1024)

/* Answers that are held back until their time, for --delay. */
struct held {
    struct held *next;
    uint64_t due_ns;
    size_t size;
    uint8_t bytes[];
};

struct connection {
    int fd;
    struct buffer in;
    size_t parsed;
    struct buffer out;
    size_t written;
    struct held *held;
    struct held **last_held;
};

static struct cluster cluster;
static uint16_t ports[MAX_NODES];
static struct connection **connections;
static size_t connection_count;
static struct pollfd *polled;
static uint64_t delay_ns;
static struct buffer command;

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static void *checked(void *memory) {
    if (memory == NULL)
        die("memory");
    return memory;
}

static int listen_on(uint16_t *port) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) || listen(fd, 128) ||
        getsockname(fd, (struct sockaddr *)&address, &size))
        die("listen");
    fcntl(fd, F_SETFL, O_NONBLOCK);
    *port = ntohs(address.sin_port);
    return fd;
}

static void welcome(int listener) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0)
        return;
    int yes = 1;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct connection *c = checked(calloc(1, sizeof *c));
    c->fd = fd;
    c->last_held = &c->held;
    connections = checked(realloc(connections, (connection_count + 1) * sizeof *connections));
    connections[connection_count++] = c;
    polled = checked(
        realloc(polled, (1 + cluster.nodes + connection_count) * sizeof *polled));
}

static void hang_up(struct connection *c) {
    close(c->fd);
    for (struct held *h = c->held, *next; h; h = next) {
        next = h->next;
        free(h);
    }
    free(c->in.bytes);
    free(c->out.bytes);
    free(c);
}

/* Write what may leave; false if the connection is gone. */
static bool write_out(struct connection *c) {
    uint64_t now = c->held ? now_ns() : 0;
    while (c->held && c->held->due_ns <= now) {
        struct held *h = c->held;
        put(&c->out, h->bytes, h->size);
        c->held = h->next;
        if (c->held == NULL)
            c->last_held = &c->held;
        free(h);
    }
    while (c->written < c->out.size) {
        ssize_t sent = send(c->fd, c->out.bytes + c->written, c->out.size - c->written,
                            MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
        c->written += (size_t)sent;
    }
    c->written = c->out.size = 0;
    return true;
}

static void hold(struct connection *c, size_t from) {
    size_t size = c->out.size - from;
    if (size == 0)
        return;
    struct held *h = checked(malloc(sizeof *h + size));
    h->next = NULL;
    h->due_ns = now_ns() + delay_ns;
    h->size = size;
    memcpy(h->bytes, c->out.bytes + from, size);
    c->out.size = from;
    *c->last_held = h;
    c->last_held = &h->next;
}

/* Answer every whole request that is there; false if the connection has to go. */
static bool serve(struct connection *c) {
    size_t answered = c->out.size;
    while (c->in.size - c->parsed >= 4) {
        const uint8_t *at = c->in.bytes + c->parsed;
        uint32_t size = load_u32(at);
        if (size > LARGEST_REQUEST) {
            complain(&counts.malformed, "a request of %u bytes", size);
            return false;
        }
        if (c->in.size - c->parsed - 4 < size)
            break;
        struct reader request = {at + 4, at + 4 + size, false};
        if (!answer(&cluster, request, &c->out))
            return false;
        c->parsed += 4 + size;
    }
    if (delay_ns)
        hold(c, answered);
    return true;
}

static void make_room(struct connection *c) {
    size_t left = c->in.size - c->parsed;
    if (c->parsed) {
        memmove(c->in.bytes, c->in.bytes + c->parsed, left);
        c->in.size = left;
        c->parsed = 0;
    }
    size_t whole = left >= 4 ? (size_t)load_u32(c->in.bytes) + 4 : 0;
    size_t wanted = whole > left && whole <= LARGEST_REQUEST ? whole - left : 0;
    reserve(&c->in, wanted > READ_AT_LEAST ? wanted : READ_AT_LEAST);
}

/* Read and answer, but give the others a turn too; false if the connection is gone. */
static bool read_in(struct connection *c) {
    for (size_t total = 0; total < TURN_BYTES;) {
        make_room(c);
        size_t room = c->in.capacity - c->in.size;
        ssize_t got = recv(c->fd, c->in.bytes + c->in.size, room, 0);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
            return true;
        if (got <= 0)
            return false;
        c->in.size += (size_t)got;
        total += (size_t)got;
        if (!serve(c) || !write_out(c))
            return false;
        if ((size_t)got < room)
            return true;
    }
    return true;
}

static void say_counts(void) {
    for (char *at = first_error; *at; at++)
        if (*at == '"' || *at == '\\' || (unsigned char)*at < ' ')
            *at = '?';
    printf("{\"result\": {\"requests\": %llu, \"batches\": %llu, \"records\": %llu, \"bytes\": %llu,"
           " \"duplicates\": %llu, \"checked_crcs\": %llu, \"checked_records\": %llu,"
           " \"malformed\": %llu, \"crc_errors\": %llu, \"sequence_errors\": %llu,"
           " \"record_errors\": %llu, \"cpu_seconds\": %.6f, \"first_error\": \"%s\"}}\n",
           (unsigned long long)counts.requests, (unsigned long long)counts.batches,
           (unsigned long long)counts.records, (unsigned long long)counts.bytes,
           (unsigned long long)counts.duplicates, (unsigned long long)counts.checked_crcs,
           (unsigned long long)counts.checked_records, (unsigned long long)counts.malformed,
           (unsigned long long)counts.crc_errors, (unsigned long long)counts.sequence_errors,
           (unsigned long long)counts.record_errors, (double)clock() / CLOCKS_PER_SEC,
           first_error);
}

static void say(const char *key, const char *value) { printf("{\"%s\": %s}\n", key, value); }

/* One command: create NAME PARTITIONS [TOPICS] | delete NAME | count NAME | counts | reset
 * | verify 0..2 | delay MICROSECONDS. */
static void obey(char *line) {
    char name[250];
    unsigned long long number = 0, topics = 0;
    /* A blank in a format matches nothing as well: `counts` has to come before `count NAME`. */
    if (strcmp(line, "counts") == 0) {
        say_counts();
    } else if (strcmp(line, "reset") == 0) {
        memset(&counts, 0, sizeof counts);
        first_error[0] = 0;
        say("result", "null");
    } else if (sscanf(line, "create %230s %llu %llu", name, &number, &topics) >= 2) {
        bool made = true;
        if (topics == 0)
            made = create_topic(name, (uint32_t)number);
        for (unsigned long long i = 0; i < topics; i++) {
            char numbered[300];
            snprintf(numbered, sizeof numbered, "%s.%llu", name, i);
            made = create_topic(numbered, (uint32_t)number) && made;
        }
        say(made ? "result" : "error", made ? "null" : "\"the topic is there already\"");
    } else if (sscanf(line, "delete %249s", name) == 1) {
        delete_topics(name);
        say("result", "null");
    } else if (sscanf(line, "count %249s", name) == 1) {
        printf("{\"result\": %llu}\n", (unsigned long long)count_records(name));
    } else if (sscanf(line, "verify %llu", &number) == 1 && number <= RECORDS) {
        verification = (enum verification)number;
        say("result", "null");
    } else if (sscanf(line, "delay %llu", &number) == 1) {
        delay_ns = number * 1000;
        say("result", "null");
    } else {
        say("error", "\"no such command\"");
    }
    fflush(stdout);
}

/* Returns false at the end of the input. */
static bool take_commands(void) {
    reserve(&command, 4096);
    ssize_t got = read(0, command.bytes + command.size, command.capacity - command.size - 1);
    if (got <= 0)
        return got < 0 && errno == EINTR;
    command.size += (size_t)got;
    for (;;) {
        uint8_t *end = memchr(command.bytes, '\n', command.size);
        if (end == NULL)
            return true;
        *end = 0;
        obey((char *)command.bytes);
        size_t used = (size_t)(end - command.bytes) + 1;
        memmove(command.bytes, end + 1, command.size -= used);
    }
}

/* How long to sleep, in milliseconds: until the first answer that is held back is due. */
static int patience(void) {
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < connection_count; i++)
        if (connections[i]->held && connections[i]->held->due_ns < first)
            first = connections[i]->held->due_ns;
    if (first == UINT64_MAX)
        return -1;
    uint64_t now = now_ns();
    return first <= now ? 0 : (int)((first - now + 999999) / 1000000);
}

static void prepare(const int *listeners) {
    polled[0] = (struct pollfd){.fd = 0, .events = POLLIN};
    for (uint32_t i = 0; i < cluster.nodes; i++)
        polled[1 + i] = (struct pollfd){.fd = listeners[i], .events = POLLIN};
    for (size_t i = 0; i < connection_count; i++) {
        struct connection *c = connections[i];
        short events = POLLIN;
        if (c->written < c->out.size)
            events |= POLLOUT;
        polled[1 + cluster.nodes + i] = (struct pollfd){.fd = c->fd, .events = events};
    }
}

static void turn(const int *listeners) {
    size_t known = connection_count;
    size_t kept = 0;
    for (size_t i = 0; i < known; i++) {
        struct connection *c = connections[i];
        short events = polled[1 + cluster.nodes + i].revents;
        bool lives = !(events & (POLLIN | POLLHUP | POLLERR)) || read_in(c);
        if (lives && (c->held || c->written < c->out.size))
            lives = write_out(c);
        if (lives)
            connections[kept++] = c;
        else
            hang_up(c);
    }
    connection_count = kept;
    for (uint32_t i = 0; i < cluster.nodes; i++)
        if (polled[1 + i].revents)
            welcome(listeners[i]);
}

int main(int argc, char **argv) {
    int nodes = argc > 1 ? atoi(argv[1]) : 0;
    if (nodes < 1 || nodes > MAX_NODES) {
        fprintf(stderr, "usage: standin NODES, 1 to %d\n", MAX_NODES);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    crc32c_prepare();
    int listeners[MAX_NODES];
    cluster = (struct cluster){(uint32_t)nodes, ports};
    polled = checked(calloc((size_t)nodes + 1, sizeof *polled));
    for (int i = 0; i < nodes; i++)
        listeners[i] = listen_on(&ports[i]);
    printf("{\"result\": [\"");
    for (int i = 0; i < nodes; i++)
        printf("%s127.0.0.1:%u", i ? "," : "", ports[i]);
    printf("\", \"CRC-32C %s\"]}\n", crc32c_how());
    fflush(stdout);
    for (;;) {
        prepare(listeners);
        if (poll(polled, 1 + cluster.nodes + connection_count, patience()) < 0 && errno != EINTR)
            die("poll");
        if (polled[0].revents && !take_commands())
            return 0;
        turn(listeners);
    }
}
