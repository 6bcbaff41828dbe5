/*
 * sandsock.h: request handlers for sandsock, in C (C11 or later, and C++17 or later).
 *
 * A handler is what Python's socketserver calls a StreamRequestHandler: it reads what the client
 * sends, writes what the client receives, and does not know whether a TCP connection, a Unix stream
 * or a datagram stands behind them. Each request has an instance of its own, with fresh memory: a
 * global variable is as at the start, and what is not freed goes with the instance.
 *
 *     #include "sandsock.h"
 *
 *     static int handle(sandsock_request *r) {
 *         char line[8192];
 *         int len = sandsock_read_line(r, line, sizeof line);
 *         return len < 0 ? len : sandsock_write(r, line, (size_t)len);
 *     }
 *
 *     SANDSOCK_HANDLER(handle);
 *
 * The same source builds for wasm32-wasi, a handler of kind module, and for the machine at hand,
 * where a client in memory stands in for the host (the last part of this file).
 *
 * In this file: errors; the request; reading; writing; what is known of the request; the steps; the
 * host of a module; the host of a unit test. A name with sandsock_priv_ is not for use outside of it.
 */
#ifndef SANDSOCK_H
#define SANDSOCK_H

#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __GNUC__
#define SANDSOCK_PRIV_FORMAT(text, first) __attribute__((__format__(__printf__, text, first)))
#else
#define SANDSOCK_PRIV_FORMAT(text, first)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Errors: every function that can fail returns a number below 0 ---- */

enum sandsock_error {
    /* The client ended the connection by force. */
    SANDSOCK_CONNECTION_RESET = -15,
    /* A size or a format that cannot be. */
    SANDSOCK_INVALID = -28,
    /* The reply is longer than a datagram can be. */
    SANDSOCK_MESSAGE_TOO_LONG = -35,
    SANDSOCK_OUT_OF_MEMORY = -48,
    /* The client does not read any more. */
    SANDSOCK_BROKEN_PIPE = -64,
    /* Not one byte moved for the idle timeout, or for what sandsock_set_timeout has set. */
    SANDSOCK_TIMED_OUT = -73,
    /* What sandsock_fail returns: the text is its own. */
    SANDSOCK_FAILED = -1000,
    /* The input ended before as many bytes came as sandsock_read_exact was to read. */
    SANDSOCK_END_OF_INPUT = -1001,
    /* No end of line within the limit. */
    SANDSOCK_LINE_TOO_LONG = -1002
    /* Any other: a negated errno of WASI preview 1, as the host returned it. */
};

/* ---- The request ---- */

enum sandsock_transport {
    SANDSOCK_TCP = 0,
    SANDSOCK_UDP = 1,
    SANDSOCK_UNIX = 2,
    SANDSOCK_UNIXGRAM = 3
};

/* What a client that sends little fits into. A larger read goes straight to the caller's memory. */
enum { SANDSOCK_BUFFER = 4096 };
/* The longest text of sandsock_fail, with its final zero; a longer one is cut off. */
enum { SANDSOCK_TEXT = 1024 };
/* A path of a Unix socket has at most 108 bytes; one that is not UTF-8 comes as three. */
enum { SANDSOCK_PRIV_ADDRESS = 336 };

#ifndef __wasm__
/* The client of a unit test. The first part is the test's to set before the run, the second its to
 * look at afterwards; sandsock_in_memory fills in what is not said. */
typedef struct sandsock_test {
    const void *input;              /* what the client sends; over datagrams, one packet */
    size_t input_len;               /* in bytes */
    size_t piece;                   /* most bytes that come at a time, as over a slow line; 0: no limit */
    int read_fails;                 /* what each read after the input returns; 0: the end of input */
    int write_fails;                /* what a write beyond write_fails_after bytes returns; 0: never */
    size_t write_fails_after;       /* how many bytes the client takes before that */
    const char *client;             /* "127.0.0.1:4711" unless set */
    const char *server;             /* "127.0.0.1:9999" unless set */
    enum sandsock_transport transport;
    uint64_t id;                    /* 1 unless set */

    char *written;                  /* all that was written, with a zero behind it */
    size_t written_len;             /* in bytes, without the zero */
    size_t datagrams;               /* how many were sent: see sandsock_test_datagram */
    size_t *datagram_ends;          /* where each of them ends in written */
    int64_t timeout;                /* of the last sandsock_set_timeout, in milliseconds */
    int nodelay;                    /* of the last sandsock_set_nodelay */
} sandsock_test;
#endif

/* The request that a handler serves. */
typedef struct sandsock_request {
    void *state;                    /* the handler's own, from step to step; a null pointer at first */
    int priv_is_begun;
    size_t priv_start, priv_end;    /* of what was received and not read, in the buffer */
    unsigned char priv_buffer[SANDSOCK_BUFFER];
    char priv_text[SANDSOCK_TEXT];
    char priv_client[SANDSOCK_PRIV_ADDRESS], priv_server[SANDSOCK_PRIV_ADDRESS];
#ifndef __wasm__
    sandsock_test test;
#endif
} sandsock_request;

/* A step of a handler: 0 for success. Anything else is an error, which is logged and closes the
 * connection: of what it says, nothing reaches the client. */
typedef int (*sandsock_step)(sandsock_request *r);

/* The three steps; a null pointer for one that the handler does not have. */
typedef struct sandsock_handler {
    sandsock_step setup, handle, finish;
} sandsock_handler;

/* What the host does: either build has its own, below. */
static inline int sandsock_priv_read(sandsock_request *r, void *into, size_t len);
static inline int sandsock_priv_write(sandsock_request *r, const void *bytes, size_t len);
static inline int sandsock_priv_address(sandsock_request *r, int is_server, char *into, size_t len);

/* Gives an error a text: `return sandsock_fail(r, "no user %s", name);`. The step that returns it
 * has failed with that text in the log. Always SANDSOCK_FAILED. */
SANDSOCK_PRIV_FORMAT(2, 3)
static inline int sandsock_fail(sandsock_request *r, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(r->priv_text, sizeof r->priv_text, format, arguments);
    va_end(arguments);
    return SANDSOCK_FAILED;
}

/* The text of an error, as in the log. It is good until the next call, or the next sandsock_fail. */
static inline const char *sandsock_error_text(sandsock_request *r, int error) {
    switch (error) {
    case SANDSOCK_CONNECTION_RESET: return "connection reset";
    case SANDSOCK_INVALID: return "invalid argument";
    case SANDSOCK_MESSAGE_TOO_LONG: return "message too long for a datagram";
    case SANDSOCK_OUT_OF_MEMORY: return "out of memory";
    case SANDSOCK_BROKEN_PIPE: return "broken pipe";
    case SANDSOCK_TIMED_OUT: return "timed out";
    case SANDSOCK_FAILED: return r->priv_text;
    case SANDSOCK_END_OF_INPUT: return "unexpected end of input";
    case SANDSOCK_LINE_TOO_LONG: return "line too long";
    default: break;
    }
    /* By hand: snprintf would bring 15 KiB of code into a handler that does not format. */
    char *text = r->priv_text + 24;
    unsigned rest = error < 0 ? 0u - (unsigned)error : (unsigned)error;
    *text = 0;
    do *--text = (char)('0' + rest % 10); while (rest /= 10);
    if (error < 0) *--text = '-';
    text -= 6;
    memcpy(text, "error ", 6);
    return text;
}

/* ---- Reading: buffered, as Python's rfile is ---- */

static inline int sandsock_priv_fill(sandsock_request *r) {
    if (r->priv_start < r->priv_end) return 1;
    int count = sandsock_priv_read(r, r->priv_buffer, sizeof r->priv_buffer);
    r->priv_start = 0;
    r->priv_end = count > 0 ? (size_t)count : 0;
    return count;
}

/* Up to `len` bytes, as soon as one is there. Returns how many; 0 is the end of input, which for a
 * datagram is the end of the packet. Errors: SANDSOCK_TIMED_OUT, SANDSOCK_CONNECTION_RESET. */
static inline int sandsock_read(sandsock_request *r, void *into, size_t len) {
    if (len > INT_MAX) len = INT_MAX;
    if (len == 0) return 0;
    if (r->priv_start == r->priv_end && len >= sizeof r->priv_buffer)
        return sandsock_priv_read(r, into, len);
    int count = sandsock_priv_fill(r);
    if (count <= 0) return count;
    size_t held = r->priv_end - r->priv_start;
    if (len > held) len = held;
    memcpy(into, r->priv_buffer + r->priv_start, len);
    r->priv_start += len;
    return (int)len;
}

/* Exactly `len` bytes. Returns 0. Errors: those of sandsock_read, and SANDSOCK_END_OF_INPUT if fewer
 * came; what came is in `into` all the same. */
static inline int sandsock_read_exact(sandsock_request *r, void *into, size_t len) {
    for (size_t done = 0; done < len;) {
        int count = sandsock_read(r, (char *)into + done, len - done);
        if (count < 0) return count;
        if (count == 0) return SANDSOCK_END_OF_INPUT;
        done += (size_t)count;
    }
    return 0;
}

/* Of what is held, through '\n', at most `room` bytes (at least 1). */
static inline int sandsock_priv_take_line(sandsock_request *r, char *into, size_t room) {
    int count = sandsock_priv_fill(r);
    if (count <= 0) return count;
    const unsigned char *from = r->priv_buffer + r->priv_start;
    size_t len = r->priv_end - r->priv_start;
    if (len > room) len = room;
    const unsigned char *end = (const unsigned char *)memchr(from, '\n', len);
    if (end != NULL) len = (size_t)(end - from) + 1;
    memcpy(into, from, len);
    r->priv_start += len;
    return (int)len;
}

/* A line, through '\n' or the end of input, and a zero behind it, into `size` bytes. Returns the
 * line's length, its '\n' included; 0 is the end of input, so that
 * `while ((len = sandsock_read_line(r, line, sizeof line)) > 0)` runs over all lines.
 *
 * Errors: those of sandsock_read, and SANDSOCK_LINE_TOO_LONG if there is no '\n' within `size` - 1
 * bytes. What came of the line before an error is in `line`, with a zero behind it, and is not read
 * again. */
static inline int sandsock_read_line(sandsock_request *r, char *line, size_t size) {
    if (size == 0) return SANDSOCK_INVALID;
    if (size > INT_MAX) size = INT_MAX;
    size_t len = 0;
    int count = 1;
    while (len < size - 1 && count > 0 && (len == 0 || line[len - 1] != '\n')) {
        count = sandsock_priv_take_line(r, line + len, size - 1 - len);
        if (count > 0) len += (size_t)count;
    }
    line[len] = 0;
    if (count <= 0) return count < 0 ? count : (int)len;
    if (len > 0 && line[len - 1] == '\n') return (int)len;
    /* All the room is taken: a last line may end here, any other is too long. */
    count = sandsock_priv_fill(r);
    return count < 0 ? count : count == 0 ? (int)len : SANDSOCK_LINE_TOO_LONG;
}

/* As POSIX getline, with a limit: a line of at most `max` bytes ('\n' included, the zero behind it
 * not) into `*line`, which is grown by realloc as needed; `*capacity` is its size. Both may be
 * zeroes at first, serve for many lines, and `*line` is the caller's to free.
 *
 * Returns and errors: those of sandsock_read_line, and SANDSOCK_OUT_OF_MEMORY. */
static inline int sandsock_getline(sandsock_request *r, char **line, size_t *capacity, size_t max) {
    if (max > INT_MAX - 1) max = INT_MAX - 1;
    for (size_t len = 0;;) {
        size_t full = *capacity > max ? max : *capacity > 0 ? *capacity - 1 : 0;
        if (*capacity == 0 || (len == full && full < max)) {
            size_t grown = *capacity < 64 ? 128 : *capacity * 2;
            if (grown > max + 1) grown = max + 1;
            char *moved = (char *)realloc(*line, grown);
            if (moved == NULL) return SANDSOCK_OUT_OF_MEMORY;
            *line = moved;
            *capacity = grown;
            (*line)[len] = 0;
            continue;
        }
        int count = len == full ? sandsock_priv_fill(r)
                                : sandsock_priv_take_line(r, *line + len, full - len);
        if (count > 0 && len == full) count = SANDSOCK_LINE_TOO_LONG;
        if (count > 0) len += (size_t)count;
        (*line)[len] = 0;
        if (count < 0) return count;
        if (count == 0 || (*line)[len - 1] == '\n') return (int)len;
    }
}

/* Cuts the "\n" or "\r\n" off the end of a line of `len` bytes. Returns what is left of `len`. */
static inline int sandsock_chomp(char *line, int len) {
    if (len > 0 && line[len - 1] == '\n') line[--len] = 0;
    else return len;
    if (len > 0 && line[len - 1] == '\r') line[--len] = 0;
    return len;
}

/* ---- Writing: unbuffered, as Python's wfile is ---- */

/* All `len` bytes: over a stream they have gone to the system when it returns. For a datagram they
 * are collected; sandsock_flush sends what was written since the last flush as one datagram, and the
 * end of the request does the same with the rest. Returns 0.
 *
 * Errors: SANDSOCK_BROKEN_PIPE and SANDSOCK_CONNECTION_RESET when the client has gone,
 * SANDSOCK_TIMED_OUT when it did not read in time, SANDSOCK_MESSAGE_TOO_LONG for a datagram. */
static inline int sandsock_write(sandsock_request *r, const void *bytes, size_t len) {
    int count = sandsock_priv_write(r, bytes, len);
    return count < 0 ? count : 0;
}

/* As sandsock_write, of a text, without the zero at its end. */
static inline int sandsock_write_text(sandsock_request *r, const char *text) {
    return sandsock_write(r, text, strlen(text));
}

/* As sandsock_write, of a text that is formatted as printf does, in one piece. Errors: those of
 * sandsock_write, SANDSOCK_OUT_OF_MEMORY, and SANDSOCK_INVALID for a format that cannot be. */
SANDSOCK_PRIV_FORMAT(2, 0)
static inline int sandsock_vprintf(sandsock_request *r, const char *format, va_list arguments) {
    char small[512];
    va_list again;
    va_copy(again, arguments);
    int len = vsnprintf(small, sizeof small, format, again);
    va_end(again);
    if (len < 0) return SANDSOCK_INVALID;
    if ((size_t)len < sizeof small) return sandsock_write(r, small, (size_t)len);
    char *large = (char *)malloc((size_t)len + 1);
    if (large == NULL) return SANDSOCK_OUT_OF_MEMORY;
    vsnprintf(large, (size_t)len + 1, format, arguments);
    int error = sandsock_write(r, large, (size_t)len);
    free(large);
    return error;
}

/* As sandsock_vprintf. */
SANDSOCK_PRIV_FORMAT(2, 3)
static inline int sandsock_printf(sandsock_request *r, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int error = sandsock_vprintf(r, format, arguments);
    va_end(arguments);
    return error;
}

/* Stream: nothing, as nothing is held back. Datagram: sends what was written since the last flush as
 * one datagram; nothing written, nothing sent. Returns 0, or an error of sandsock_write. */
static inline int sandsock_flush(sandsock_request *r);

/* ---- What is known of the request ---- */

static inline const char *sandsock_priv_text(sandsock_request *r, int is_server, char *into) {
    int len = sandsock_priv_address(r, is_server, into, SANDSOCK_PRIV_ADDRESS - 1);
    into[len < 0 ? 0 : len < SANDSOCK_PRIV_ADDRESS ? len : SANDSOCK_PRIV_ADDRESS - 1] = 0;
    return into;
}

/* The client: "127.0.0.1:4711", "[::1]:4711", a path, or "" for an unnamed peer. The text is the
 * request's and lives as long. */
static inline const char *sandsock_client_address(sandsock_request *r) {
    return sandsock_priv_text(r, 0, r->priv_client);
}

/* The address that the request came to, written in the same way. */
static inline const char *sandsock_server_address(sandsock_request *r) {
    return sandsock_priv_text(r, 1, r->priv_server);
}

/* What carries the request. */
static inline enum sandsock_transport sandsock_transport(sandsock_request *r);

/* As in the scheme of the server's address: "tcp", "udp", "unix", "unixgram". */
static inline const char *sandsock_transport_name(sandsock_request *r) {
    switch (sandsock_transport(r)) {
    case SANDSOCK_TCP: return "tcp";
    case SANDSOCK_UDP: return "udp";
    case SANDSOCK_UNIX: return "unix";
    default: return "unixgram";
    }
}

/* Whether reading gives one packet and writing sends packets. */
static inline int sandsock_is_datagram(sandsock_request *r) {
    return sandsock_transport(r) == SANDSOCK_UDP || sandsock_transport(r) == SANDSOCK_UNIXGRAM;
}

/* The request's number, as in the log. */
static inline uint64_t sandsock_id(sandsock_request *r);

/* Python's `timeout`, in milliseconds: the longest that each later read and write waits without a
 * byte moving. Never beyond what the operator allows; 0 is the operator's. Returns 0, or
 * SANDSOCK_INVALID for a time below 0. */
static inline int sandsock_set_timeout(sandsock_request *r, int64_t millis);

/* Python's `disable_nagle_algorithm`; where the transport has none, nothing. Returns 0, or an error
 * of the system. */
static inline int sandsock_set_nodelay(sandsock_request *r, int on);

/* ---- The steps ----
 *
 * SANDSOCK_HANDLER(handle); once in a program, makes it the handler that the file exports.
 * SANDSOCK_HANDLER_STEPS(setup, handle, finish); does so for Python's three steps. `handle` does not
 * run after an error of `setup`, nor does `finish`; `finish` runs after an error of `handle`.
 *
 * What a step prints to stdout and stderr is the server's log, a line an event. stdout holds back
 * what follows the last '\n' and is flushed after each step. A handler that prints nothing can say
 * `#define SANDSOCK_NO_STDIO` before the #include: that saves 1.6 KiB of code and three imports of
 * WASI.
 *
 * abort() and a failed assert() are on the log, too, and end the instance: no later step runs. */

#ifdef __wasm__

#define SANDSOCK_PRIV_IMPORT(module, name) \
    __attribute__((import_module(module), import_name(name))) extern
#define SANDSOCK_PRIV_EXPORT(name, step) \
    int sandsock_export_##name(void); \
    __attribute__((export_name(#name))) int sandsock_export_##name(void) { \
        return sandsock_priv_run(&sandsock_this_request, step); \
    }

#define SANDSOCK_HANDLER(handle_) \
    static sandsock_request sandsock_this_request; \
    SANDSOCK_PRIV_EXPORT(handle, handle_) \
    extern int sandsock_export_handle(void)
#define SANDSOCK_HANDLER_STEPS(setup_, handle_, finish_) \
    static sandsock_request sandsock_this_request; \
    SANDSOCK_PRIV_EXPORT(setup, setup_) \
    SANDSOCK_PRIV_EXPORT(handle, handle_) \
    SANDSOCK_PRIV_EXPORT(finish, finish_) \
    extern int sandsock_export_handle(void)

/* ---- The host of a module: its ABI, version 1 ---- */

SANDSOCK_PRIV_IMPORT("rfile", "read") int32_t sandsock_abi_read(void *buf, size_t len);
SANDSOCK_PRIV_IMPORT("wfile", "write") int32_t sandsock_abi_write(const void *buf, size_t len);
SANDSOCK_PRIV_IMPORT("wfile", "flush") int32_t sandsock_abi_flush(void);
SANDSOCK_PRIV_IMPORT("request", "client_address") int32_t sandsock_abi_client(char *buf, size_t len);
SANDSOCK_PRIV_IMPORT("request", "server_address") int32_t sandsock_abi_server(char *buf, size_t len);
SANDSOCK_PRIV_IMPORT("request", "transport") int32_t sandsock_abi_transport(void);
SANDSOCK_PRIV_IMPORT("request", "id") int64_t sandsock_abi_id(void);
SANDSOCK_PRIV_IMPORT("request", "set_timeout") int32_t sandsock_abi_set_timeout(int64_t millis);
SANDSOCK_PRIV_IMPORT("request", "set_nodelay") int32_t sandsock_abi_set_nodelay(int32_t on);

/* Of WASI, without the C library's stdio. */
typedef struct sandsock_abi_piece {
    const char *buf;
    size_t len;
} sandsock_abi_piece;
SANDSOCK_PRIV_IMPORT("wasi_snapshot_preview1", "fd_write")
int32_t sandsock_abi_fd_write(int32_t fd, const sandsock_abi_piece *pieces, size_t count, size_t *written);

static inline int sandsock_priv_read(sandsock_request *r, void *into, size_t len) {
    (void)r;
    return sandsock_abi_read(into, len);
}

static inline int sandsock_priv_write(sandsock_request *r, const void *bytes, size_t len) {
    (void)r;
    return sandsock_abi_write(bytes, len);
}

static inline int sandsock_flush(sandsock_request *r) {
    (void)r;
    return sandsock_abi_flush();
}

static inline int sandsock_priv_address(sandsock_request *r, int is_server, char *into, size_t len) {
    (void)r;
    return is_server ? sandsock_abi_server(into, len) : sandsock_abi_client(into, len);
}

static inline enum sandsock_transport sandsock_transport(sandsock_request *r) {
    (void)r;
    return (enum sandsock_transport)sandsock_abi_transport();
}

static inline uint64_t sandsock_id(sandsock_request *r) {
    (void)r;
    return (uint64_t)sandsock_abi_id();
}

static inline int sandsock_set_timeout(sandsock_request *r, int64_t millis) {
    (void)r;
    return sandsock_abi_set_timeout(millis);
}

static inline int sandsock_set_nodelay(sandsock_request *r, int on) {
    (void)r;
    return sandsock_abi_set_nodelay(on != 0);
}

/* 0, or 1 and a line in the log. */
static inline int sandsock_priv_run(sandsock_request *r, sandsock_step step) {
#ifndef SANDSOCK_NO_STDIO
    /* As to a terminal: a line is in the log when it is printed, whatever becomes of the request. */
    if (!r->priv_is_begun) setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    r->priv_is_begun = 1;
#endif
    int error = step != NULL ? step(r) : 0;
#ifndef SANDSOCK_NO_STDIO
    fflush(stdout);
#endif
    if (error == 0) return 0;
    const char *text = sandsock_error_text(r, error);
    sandsock_abi_piece line[2] = {{text, strlen(text)}, {"\n", 1}};
    size_t written;
    sandsock_abi_fd_write(2, line, 2, &written);
    return 1;
}

#else

/* Here the handler is a variable of this name, for sandsock_test_run. */
extern const sandsock_handler sandsock_this_handler;

#define SANDSOCK_HANDLER(handle_) SANDSOCK_HANDLER_STEPS(NULL, handle_, NULL)
#define SANDSOCK_HANDLER_STEPS(setup_, handle_, finish_) \
    const sandsock_handler sandsock_this_handler = {setup_, handle_, finish_}

/* ---- The host of a unit test: a client whose bytes lie in memory ---- */

/* The longest UDP datagram over IPv4: 65,535 less the headers of IP and UDP. */
enum { SANDSOCK_PRIV_DATAGRAM = 65507 };

/* A client that sends `len` bytes over TCP and ends its side. They are not copied: they must live as
 * long as the request. What else is to be known of it are fields of `test`:
 *
 *     sandsock_request r = sandsock_in_memory("ping\n");
 *     r.test.transport = SANDSOCK_UDP;
 */
static inline sandsock_request sandsock_in_memory_bytes(const void *input, size_t len) {
    sandsock_request r;
    memset(&r, 0, sizeof r);
    r.test.input = input;
    r.test.input_len = len;
    r.test.client = "127.0.0.1:4711";
    r.test.server = "127.0.0.1:9999";
    r.test.id = 1;
    r.test.written = (char *)calloc(1, 1);
    if (r.test.written == NULL) abort();
    return r;
}

/* The same, of a text, without the zero at its end. */
static inline sandsock_request sandsock_in_memory(const char *input) {
    return sandsock_in_memory_bytes(input, strlen(input));
}

/* Serves the request as the host does: `setup`, `handle`, `finish`; no more after an error of
 * `setup`, but `finish` after one of `handle`. At the end what was written to a datagram client and
 * not flushed is sent. Returns 0, or the first error of a step, whose text sandsock_error_text tells.
 *
 * Global variables are not fresh in a test: a handler that has some sets them in `setup`. */
static inline int sandsock_test_run(sandsock_request *r, const sandsock_handler *handler) {
    int error = handler->setup != NULL ? handler->setup(r) : 0;
    if (error == 0) {
        char first[SANDSOCK_TEXT];
        error = handler->handle(r);
        memcpy(first, r->priv_text, sizeof first);
        int finished = handler->finish != NULL ? handler->finish(r) : 0;
        if (error != 0) memcpy(r->priv_text, first, sizeof first);
        else error = finished;
    }
    int sent = sandsock_flush(r);
    return error != 0 ? error : sent;
}

/* The datagram that was sent as number `index`, counted from 0, and its length; a null pointer if
 * there was none. There is no zero behind it. */
static inline const char *sandsock_test_datagram(const sandsock_request *r, size_t index, size_t *len) {
    if (index >= r->test.datagrams) return NULL;
    size_t start = index > 0 ? r->test.datagram_ends[index - 1] : 0;
    *len = r->test.datagram_ends[index] - start;
    return r->test.written + start;
}

/* Frees what the test holds. */
static inline void sandsock_test_free(sandsock_request *r) {
    free(r->test.written);
    free(r->test.datagram_ends);
    memset(r, 0, sizeof *r);
}

static inline int sandsock_priv_read(sandsock_request *r, void *into, size_t len) {
    sandsock_test *t = &r->test;
    if (t->input_len == 0) return t->read_fails;
    if (len > t->input_len) len = t->input_len;
    if (t->piece > 0 && len > t->piece) len = t->piece;
    memcpy(into, t->input, len);
    t->input = (const char *)t->input + len;
    t->input_len -= len;
    return (int)len;
}

static inline int sandsock_priv_write(sandsock_request *r, const void *bytes, size_t len) {
    sandsock_test *t = &r->test;
    size_t sent = t->datagrams > 0 ? t->datagram_ends[t->datagrams - 1] : 0;
    if (sandsock_is_datagram(r) && len > SANDSOCK_PRIV_DATAGRAM - (t->written_len - sent))
        return SANDSOCK_MESSAGE_TOO_LONG;
    int error = 0;
    size_t room = t->write_fails_after > t->written_len ? t->write_fails_after - t->written_len : 0;
    if (t->write_fails != 0 && len > room) {
        len = room;
        error = t->write_fails;
    }
    t->written = (char *)realloc(t->written, t->written_len + len + 1);
    if (t->written == NULL) abort();
    if (len > 0) memcpy(t->written + t->written_len, bytes, len);
    t->written_len += len;
    t->written[t->written_len] = 0;
    return error;
}

static inline int sandsock_flush(sandsock_request *r) {
    sandsock_test *t = &r->test;
    size_t sent = t->datagrams > 0 ? t->datagram_ends[t->datagrams - 1] : 0;
    if (!sandsock_is_datagram(r) || t->written_len == sent) return 0;
    t->datagram_ends = (size_t *)realloc(t->datagram_ends, (t->datagrams + 1) * sizeof(size_t));
    if (t->datagram_ends == NULL) abort();
    t->datagram_ends[t->datagrams++] = t->written_len;
    return 0;
}

static inline int sandsock_priv_address(sandsock_request *r, int is_server, char *into, size_t len) {
    const char *text = is_server ? r->test.server : r->test.client;
    size_t full = strlen(text);
    memcpy(into, text, full < len ? full : len);
    return (int)full;
}

static inline enum sandsock_transport sandsock_transport(sandsock_request *r) {
    return r->test.transport;
}

static inline uint64_t sandsock_id(sandsock_request *r) {
    return r->test.id;
}

static inline int sandsock_set_timeout(sandsock_request *r, int64_t millis) {
    if (millis < 0) return SANDSOCK_INVALID;
    r->test.timeout = millis;
    return 0;
}

static inline int sandsock_set_nodelay(sandsock_request *r, int on) {
    r->test.nodelay = on != 0;
    return 0;
}

#endif

#ifdef __cplusplus
}
#endif

#endif
