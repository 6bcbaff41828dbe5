/* The handler that every SDK is held to: it does what its client's first line says. */

#include "../sandsock.h"

#include <sys/random.h>

/* No line of the tests is longer. */
enum { LINE_MAX_BYTES = 1 << 20 };

static char *order;
static int order_len;
static int has_input;

/* What follows `name` and a blank in the order, or a null pointer if it is another. */
static const char *argument(const char *name) {
    size_t len = strlen(name);
    return strncmp(order, name, len) == 0 && order[len] == ' ' ? order + len + 1 : NULL;
}

/* A line without its end; its length, or an error. */
static int read_line(sandsock_request *r, char **line) {
    size_t capacity = 0;
    *line = NULL;
    int len = sandsock_getline(r, line, &capacity, LINE_MAX_BYTES);
    return len < 0 ? len : sandsock_chomp(*line, len);
}

static int write_around(sandsock_request *r, const char *before, const char *bytes, int len, const char *after) {
    int error = sandsock_write_text(r, before);
    if (error == 0) error = sandsock_write(r, bytes, (size_t)len);
    return error != 0 ? error : sandsock_write_text(r, after);
}

static int echo(sandsock_request *r) {
    static char bytes[65536];
    int len;
    while ((len = sandsock_read(r, bytes, sizeof bytes)) > 0) {
        int error = sandsock_write(r, bytes, (size_t)len);
        if (error != 0) return error;
    }
    return len;
}

static int hello(sandsock_request *r) {
    char *line;
    int len = read_line(r, &line);
    return len < 0 ? len : write_around(r, "hello, ", line, len, "\n");
}

/* Whether a line is `add A B`; then their sum. */
static int is_sum(const char *line, int len, long long *sum) {
    long long a, b;
    int end = -1;
    return sscanf(line, "add %lld %lld%n", &a, &b, &end) == 2 && end == len
        && !__builtin_add_overflow(a, b, sum);
}

static int lines(sandsock_request *r) {
    char *line = NULL;
    size_t capacity = 0;
    int len;
    while ((len = sandsock_getline(r, &line, &capacity, LINE_MAX_BYTES)) > 0) {
        long long sum;
        int error;
        len = sandsock_chomp(line, len);
        if (strcmp(line, "quit") == 0) return sandsock_write_text(r, "bye\n");
        if (is_sum(line, len, &sum)) error = sandsock_printf(r, "%lld\n", sum);
        else error = write_around(r, "error: what is `", line, len, "`?\n");
        if (error != 0) return error;
    }
    return len;
}

static int mixed(sandsock_request *r) {
    char three[3];
    char *line;
    int error = sandsock_read_exact(r, three, sizeof three);
    if (error != 0) return error;
    int len = read_line(r, &line);
    if (len < 0) return len;
    error = write_around(r, "[", three, sizeof three, "][");
    if (error == 0) error = write_around(r, "", line, len, "][");
    if (error == 0) error = echo(r);
    return error != 0 ? error : sandsock_write_text(r, "]");
}

static int timeout(sandsock_request *r, const char *millis) {
    char *line;
    int error = sandsock_set_timeout(r, atoll(millis));
    if (error != 0) return error;
    int len = read_line(r, &line);
    if (len == SANDSOCK_TIMED_OUT) return sandsock_write_text(r, "timed out\n");
    return len < 0 ? len : write_around(r, "got ", line, len, "\n");
}

static int datagrams(sandsock_request *r) {
    int error = sandsock_write_text(r, "one");
    if (error == 0) error = sandsock_flush(r);
    if (error == 0) error = sandsock_write_text(r, "two");
    return error != 0 ? error : sandsock_flush(r);
}

static int pour(sandsock_request *r) {
    static char bytes[65536];
    int error;
    memset(bytes, 'x', sizeof bytes);
    while ((error = sandsock_write(r, bytes, sizeof bytes)) == 0) {}
    return error;
}

static int setup(sandsock_request *r) {
    size_t capacity = 0;
    order = NULL;
    order_len = sandsock_getline(r, &order, &capacity, LINE_MAX_BYTES);
    if (order_len < 0) return order_len;
    has_input = order_len > 0;
    order_len = sandsock_chomp(order, order_len);
    return strcmp(order, "refuse") == 0 ? sandsock_fail(r, "refused in setup") : 0;
}

static int handle(sandsock_request *r) {
    const char *text;
    if (!has_input) return sandsock_write_text(r, "empty\n");
    if (strcmp(order, "hello") == 0) return hello(r);
    if (strcmp(order, "echo") == 0) return echo(r);
    if (strcmp(order, "lines") == 0) return lines(r);
    if (strcmp(order, "mixed") == 0) return mixed(r);
    if (strcmp(order, "datagrams") == 0) return datagrams(r);
    if (strcmp(order, "pour") == 0) return pour(r);
    if (strcmp(order, "random") == 0) {
        unsigned long long number;
        if (getentropy(&number, sizeof number) != 0) return sandsock_fail(r, "no random bytes");
        return sandsock_printf(r, "%llu\n", number);
    }
    if (strcmp(order, "steps") == 0) return sandsock_write_text(r, "handle\n");
    if (strcmp(order, "about") == 0)
        return sandsock_printf(r, "%s\n%s\n%s\n%llu\n", sandsock_client_address(r),
                               sandsock_server_address(r), sandsock_transport_name(r),
                               (unsigned long long)sandsock_id(r));
    if ((text = argument("timeout")) != NULL) return timeout(r, text);
    if ((text = argument("print")) != NULL) {
        printf("%s\n", text);
        return sandsock_write_text(r, "printed\n");
    }
    if ((text = argument("fail")) != NULL) {
        int error = sandsock_write_text(r, "before\n");
        return error != 0 ? error : sandsock_fail(r, "%s", text);
    }
    if ((text = argument("crash")) != NULL) {
        int error = sandsock_write_text(r, "before\n");
        if (error != 0) return error;
        fprintf(stderr, "%s\n", text);
        abort();
    }
    return sandsock_fail(r, "no such order: %s", order);
}

static int finish(sandsock_request *r) {
    int is_told = strcmp(order, "steps") == 0 || strncmp(order, "fail", 4) == 0
        || strncmp(order, "crash", 5) == 0;
    return is_told ? sandsock_write_text(r, "finish\n") : 0;
}

SANDSOCK_HANDLER_STEPS(setup, handle, finish);
