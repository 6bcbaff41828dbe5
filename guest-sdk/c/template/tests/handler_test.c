/* The greeting; what is logged goes to the test's own output. */

#include <assert.h>

#include "sandsock.h"

int main(void) {
    sandsock_request r = sandsock_in_memory("hello,server\n");
    assert(sandsock_test_run(&r, &sandsock_this_handler) == 0);
    assert(strcmp(r.test.written, "你好") == 0);
    sandsock_test_free(&r);

    /* A client that falls silent is an error. */
    r = sandsock_in_memory("hel");
    r.test.read_fails = SANDSOCK_TIMED_OUT;
    assert(sandsock_test_run(&r, &sandsock_this_handler) == SANDSOCK_TIMED_OUT);
    assert(r.test.written_len == 0);
    sandsock_test_free(&r);
    return 0;
}
