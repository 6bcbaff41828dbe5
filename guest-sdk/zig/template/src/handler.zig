//! Logs who connects and the line that they send, and answers with a greeting.

const std = @import("std");
const sandsock = @import("sandsock");

pub const Handler = struct {
    pub fn handle(_: *Handler, request: *sandsock.Request) !void {
        std.debug.print("connect from {s}\n", .{request.clientAddress()});
        const line = try request.rfile.takeDelimiter('\n') orelse "";
        std.debug.print("{s}\n", .{std.mem.trimEnd(u8, line, "\r")});
        try request.wfile.writeAll("你好");
    }
};

test "a line is answered with a greeting" {
    var client: sandsock.testing.Client = .{ .input = "hello,server\n" };
    defer client.deinit();
    try client.serve(Handler);
    try std.testing.expectEqualStrings("你好", client.written.items);
}

test "a client that falls silent is an error" {
    var client: sandsock.testing.Client = .{ .input = "hel", .then_read_fails = error.TimedOut };
    defer client.deinit();
    try std.testing.expectError(error.ReadFailed, client.serve(Handler));
    try std.testing.expectEqualStrings("TimedOut", client.logged());
}
