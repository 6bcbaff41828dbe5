/* Logs who connects and the line that they send, and answers with a greeting. */

#include "sandsock.h"

static int handle(sandsock_request *r) {
    char line[8192];
    printf("connect from %s\n", sandsock_client_address(r));
    int len = sandsock_read_line(r, line, sizeof line);
    if (len < 0) return len;
    sandsock_chomp(line, len);
    printf("%s\n", line);
    return sandsock_write_text(r, "你好");
}

SANDSOCK_HANDLER(handle);
