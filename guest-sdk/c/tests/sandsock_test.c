/* What holds of sandsock.h; built as C11 and as C++17. */

#include "../sandsock.h"

static int failures;

#define CHECK(condition) \
    ((condition) ? (void)0 : (void)(failures++, fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition)))
#define CHECK_TEXT(got, wanted) CHECK(strcmp((got), (wanted)) == 0)

static void lines_come_one_by_one_however_the_client_cuts_them(void) {
    static const size_t pieces[] = {1, 2, 3, 5, 100, 0};
    static const char *wanted[] = {"one\r\n", "two\n", "\n", "four"};
    for (size_t p = 0; p < sizeof pieces / sizeof pieces[0]; p++) {
        sandsock_request r = sandsock_in_memory("one\r\ntwo\n\nfour");
        r.test.piece = pieces[p];
        char line[16];
        for (int i = 0; i < 4; i++) {
            CHECK(sandsock_read_line(&r, line, sizeof line) == (int)strlen(wanted[i]));
            CHECK_TEXT(line, wanted[i]);
        }
        CHECK(sandsock_read_line(&r, line, sizeof line) == 0);
        CHECK_TEXT(line, "");
        sandsock_test_free(&r);
    }
}

static void a_line_longer_than_its_room_is_an_error_and_is_not_lost(void) {
    char line[4];
    sandsock_request r = sandsock_in_memory("abcdef\nab\nabc");
    CHECK(sandsock_read_line(&r, line, sizeof line) == SANDSOCK_LINE_TOO_LONG);
    CHECK_TEXT(line, "abc");
    CHECK(sandsock_read_line(&r, line, sizeof line) == SANDSOCK_LINE_TOO_LONG);
    CHECK_TEXT(line, "def");
    CHECK(sandsock_read_line(&r, line, sizeof line) == 1);
    CHECK(sandsock_read_line(&r, line, sizeof line) == 3);
    CHECK(sandsock_read_line(&r, line, sizeof line) == 3);
    CHECK_TEXT(line, "abc");
    CHECK(sandsock_read_line(&r, line, 0) == SANDSOCK_INVALID);
    sandsock_test_free(&r);
}

static void a_growing_line_ends_at_its_maximum(void) {
    static char input[10001];
    memset(input, 'x', 10000);
    input[9999] = '\n';
    for (size_t max = 9998; max <= 10001; max++) {
        for (size_t piece = 0; piece <= 7; piece += 7) {
            sandsock_request r = sandsock_in_memory_bytes(input, 10000);
            r.test.piece = piece;
            char *line = NULL;
            size_t capacity = 0;
            int len = sandsock_getline(&r, &line, &capacity, max);
            CHECK(len == (max < 10000 ? SANDSOCK_LINE_TOO_LONG : 10000));
            CHECK(strlen(line) == (max < 10000 ? max : 10000));
            CHECK(capacity <= max + 1);
            free(line);
            sandsock_test_free(&r);
        }
    }
}

static void a_growing_line_uses_what_it_has_grown_to(void) {
    sandsock_request r = sandsock_in_memory("one\n\nthree");
    char *line = NULL;
    size_t capacity = 0;
    CHECK(sandsock_getline(&r, &line, &capacity, 5) == 4);
    char *first = line;
    CHECK(sandsock_getline(&r, &line, &capacity, 5) == 1);
    CHECK(sandsock_getline(&r, &line, &capacity, 5) == 5);
    CHECK_TEXT(line, "three");
    CHECK(sandsock_getline(&r, &line, &capacity, 5) == 0);
    CHECK_TEXT(line, "");
    CHECK(line == first && capacity == 6);
    free(line);
    sandsock_test_free(&r);

    r = sandsock_in_memory("x");
    line = NULL;
    capacity = 0;
    CHECK(sandsock_getline(&r, &line, &capacity, 0) == SANDSOCK_LINE_TOO_LONG);
    CHECK_TEXT(line, "");
    free(line);
    sandsock_test_free(&r);
}

static void the_end_of_a_line_is_cut_off(void) {
    char crlf[] = "a\r\n", lf[] = "\n", none[] = "a\r", two[] = "a\n\n";
    CHECK(sandsock_chomp(crlf, 3) == 1);
    CHECK_TEXT(crlf, "a");
    CHECK(sandsock_chomp(lf, 1) == 0);
    CHECK(sandsock_chomp(none, 2) == 2);
    CHECK(sandsock_chomp(two, 3) == 2);
    CHECK(sandsock_chomp(lf, 0) == 0);
}

static void small_and_large_reads_may_be_mixed(void) {
    static const size_t sizes[] = {1, 5000, 10, 4096, 4095, 20000}, pieces[] = {1, 1000, 4096, 70000};
    static unsigned char input[50000], output[50000 + 20000];
    for (size_t i = 0; i < sizeof input; i++) input[i] = (unsigned char)(i % 251);
    for (size_t p = 0; p < sizeof pieces / sizeof pieces[0]; p++) {
        sandsock_request r = sandsock_in_memory_bytes(input, sizeof input);
        r.test.piece = pieces[p];
        size_t done = 0;
        int count = 1;
        for (size_t i = 0; count > 0 && done <= sizeof input; i++) {
            CHECK(sandsock_read(&r, output + done, 0) == 0);
            count = sandsock_read(&r, output + done, sizes[i % 6]);
            if (count > 0) done += (size_t)count;
        }
        CHECK(count == 0 && done == sizeof input && memcmp(output, input, done) == 0);
        sandsock_test_free(&r);
    }
}

static void exactly_so_many_bytes_are_read_or_it_is_an_error(void) {
    char bytes[8] = {0};
    sandsock_request r = sandsock_in_memory("abcdefg");
    r.test.piece = 2;
    CHECK(sandsock_read_exact(&r, bytes, 5) == 0);
    CHECK_TEXT(bytes, "abcde");
    CHECK(sandsock_read_exact(&r, bytes, 3) == SANDSOCK_END_OF_INPUT);
    CHECK(memcmp(bytes, "fg", 2) == 0);
    CHECK(sandsock_read_exact(&r, bytes, 0) == 0);
    sandsock_test_free(&r);
}

static void what_came_before_an_error_can_be_read(void) {
    char line[32];
    sandsock_request r = sandsock_in_memory("half a li");
    r.test.read_fails = SANDSOCK_TIMED_OUT;
    CHECK(sandsock_read_line(&r, line, sizeof line) == SANDSOCK_TIMED_OUT);
    CHECK_TEXT(line, "half a li");
    CHECK(sandsock_read(&r, line, 1) == SANDSOCK_TIMED_OUT);
    CHECK_TEXT(sandsock_error_text(&r, SANDSOCK_TIMED_OUT), "timed out");
    sandsock_test_free(&r);
}

static void a_stream_receives_each_write_without_a_flush(void) {
    static char large[2001];
    memset(large, 'x', 2000);
    sandsock_request r = sandsock_in_memory("");
    CHECK(sandsock_printf(&r, "%d-%s", 1, "2") == 0);
    CHECK(sandsock_write(&r, "-\0", 2) == 0);
    CHECK(r.test.written_len == 5 && memcmp(r.test.written, "1-2-\0", 6) == 0);
    CHECK(sandsock_printf(&r, "%s!", large) == 0);
    CHECK(r.test.written_len == 2006 && r.test.written[2005] == '!');
    CHECK(sandsock_flush(&r) == 0 && r.test.datagrams == 0);
    sandsock_test_free(&r);
}

static void a_flush_sends_what_was_written_since_the_last_one(void) {
    size_t len;
    sandsock_request r = sandsock_in_memory("");
    r.test.transport = SANDSOCK_UNIXGRAM;
    CHECK(sandsock_flush(&r) == 0 && r.test.datagrams == 0);
    CHECK(sandsock_write_text(&r, "one") == 0 && sandsock_write_text(&r, " and") == 0);
    CHECK(r.test.datagrams == 0 && sandsock_flush(&r) == 0);
    CHECK(sandsock_write_text(&r, "two") == 0 && sandsock_flush(&r) == 0);
    CHECK(r.test.datagrams == 2);
    const char *sent = sandsock_test_datagram(&r, 1, &len);
    CHECK(len == 3 && memcmp(sent, "two", 3) == 0);
    CHECK(sandsock_test_datagram(&r, 2, &len) == NULL);
    CHECK_TEXT(r.test.written, "one andtwo");
    sandsock_test_free(&r);
}

static void a_reply_longer_than_a_datagram_is_an_error(void) {
    static char bytes[65508];
    sandsock_request r = sandsock_in_memory("");
    r.test.transport = SANDSOCK_UDP;
    CHECK(sandsock_write(&r, bytes, 65508) == SANDSOCK_MESSAGE_TOO_LONG);
    CHECK(sandsock_write(&r, bytes, 65507) == 0);
    CHECK(sandsock_write(&r, bytes, 1) == SANDSOCK_MESSAGE_TOO_LONG);
    sandsock_test_free(&r);
}

static void a_client_that_has_gone_took_what_it_took(void) {
    sandsock_request r = sandsock_in_memory("");
    r.test.write_fails = SANDSOCK_BROKEN_PIPE;
    r.test.write_fails_after = 4;
    CHECK(sandsock_write_text(&r, "abc") == 0);
    CHECK(sandsock_write_text(&r, "def") == SANDSOCK_BROKEN_PIPE);
    CHECK_TEXT(r.test.written, "abcd");
    sandsock_test_free(&r);
}

static void a_request_tells_what_is_known_of_it(void) {
    sandsock_request r = sandsock_in_memory("");
    CHECK_TEXT(sandsock_client_address(&r), "127.0.0.1:4711");
    CHECK_TEXT(sandsock_server_address(&r), "127.0.0.1:9999");
    CHECK_TEXT(sandsock_transport_name(&r), "tcp");
    CHECK(sandsock_id(&r) == 1 && !sandsock_is_datagram(&r));
    r.test.client = "";
    r.test.transport = SANDSOCK_UNIX;
    CHECK_TEXT(sandsock_client_address(&r), "");
    CHECK_TEXT(sandsock_transport_name(&r), "unix");
    CHECK(sandsock_set_timeout(&r, 250) == 0 && r.test.timeout == 250);
    CHECK(sandsock_set_timeout(&r, -1) == SANDSOCK_INVALID);
    CHECK(sandsock_set_nodelay(&r, 1) == 0 && r.test.nodelay);
    sandsock_test_free(&r);

    static char path[1000];
    memset(path, 'p', 999);
    r = sandsock_in_memory("");
    r.test.server = path;
    CHECK(strlen(sandsock_server_address(&r)) == SANDSOCK_PRIV_ADDRESS - 1);
    sandsock_test_free(&r);
}

static void an_error_has_a_text(void) {
    static char large[3000];
    memset(large, 'x', 2999);
    sandsock_request r = sandsock_in_memory("");
    CHECK_TEXT(sandsock_error_text(&r, sandsock_fail(&r, "no user %d", 7)), "no user 7");
    CHECK_TEXT(sandsock_error_text(&r, -29), "error -29");
    CHECK_TEXT(sandsock_error_text(&r, 0), "error 0");
    CHECK_TEXT(sandsock_error_text(&r, INT_MAX), "error 2147483647");
    CHECK_TEXT(sandsock_error_text(&r, INT_MIN), "error -2147483648");
    CHECK(strlen(sandsock_error_text(&r, sandsock_fail(&r, "%s", large))) == SANDSOCK_TEXT - 1);
    sandsock_test_free(&r);
}

/* Writes the name of each step, and fails in those that the client names. */
static int step(sandsock_request *r, const char *name) {
    int error = sandsock_write_text(r, name);
    if (error != 0) return error;
    return strstr((const char *)r->state, name) != NULL ? sandsock_fail(r, "in %s", name) : 0;
}

static int setup(sandsock_request *r) {
    static char fails_in[64];
    int len = sandsock_read_line(r, fails_in, sizeof fails_in);
    r->state = fails_in;
    return len < 0 ? len : step(r, "setup ");
}

static int handle(sandsock_request *r) {
    return step(r, "handle ");
}

static int finish(sandsock_request *r) {
    return step(r, "finish ");
}

SANDSOCK_HANDLER_STEPS(setup, handle, finish);

static void the_steps_run_as_the_contract_says(void) {
    static const char *runs[][3] = {
        {"", "setup handle finish ", NULL},
        {"setup ", "setup ", "in setup "},
        {"handle ", "setup handle finish ", "in handle "},
        {"finish ", "setup handle finish ", "in finish "},
        {"handle finish ", "setup handle finish ", "in handle "},
    };
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        size_t len;
        sandsock_request r = sandsock_in_memory(runs[i][0]);
        r.test.transport = SANDSOCK_UDP;
        int error = sandsock_test_run(&r, &sandsock_this_handler);
        CHECK_TEXT(r.test.written, runs[i][1]);
        CHECK((error != 0) == (runs[i][2] != NULL));
        if (runs[i][2] != NULL) CHECK_TEXT(sandsock_error_text(&r, error), runs[i][2]);
        CHECK(sandsock_test_datagram(&r, 0, &len) != NULL && len == strlen(runs[i][1]));
        sandsock_test_free(&r);
    }
}

int main(void) {
    lines_come_one_by_one_however_the_client_cuts_them();
    a_line_longer_than_its_room_is_an_error_and_is_not_lost();
    a_growing_line_ends_at_its_maximum();
    a_growing_line_uses_what_it_has_grown_to();
    the_end_of_a_line_is_cut_off();
    small_and_large_reads_may_be_mixed();
    exactly_so_many_bytes_are_read_or_it_is_an_error();
    what_came_before_an_error_can_be_read();
    a_stream_receives_each_write_without_a_flush();
    a_flush_sends_what_was_written_since_the_last_one();
    a_reply_longer_than_a_datagram_is_an_error();
    a_client_that_has_gone_took_what_it_took();
    a_request_tells_what_is_known_of_it();
    an_error_has_a_text();
    the_steps_run_as_the_contract_says();
    return failures > 0;
}
