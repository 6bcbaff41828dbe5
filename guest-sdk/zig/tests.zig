//! What holds of the SDK: `zig test --dep sandsock -Mroot=tests.zig -Msandsock=sandsock.zig`.

const std = @import("std");
const sandsock = @import("sandsock");

const Client = sandsock.testing.Client;
const gpa = std.testing.allocator;
const expect = std.testing.expect;
const expectEqual = std.testing.expectEqual;
const expectError = std.testing.expectError;
const expectEqualStrings = std.testing.expectEqualStrings;

test "lines come one by one however the client cuts them" {
    for ([_]usize{ 1, 2, 3, 5, 100 }) |piece| {
        var client: Client = .{ .input = "one\r\ntwo\n\nfour", .piece = piece };
        defer client.deinit();
        var request = client.request();
        for ([_][]const u8{ "one\r", "two", "", "four" }) |line| {
            try expectEqualStrings(line, (try request.rfile.takeDelimiter('\n')).?);
        }
        try expectEqual(null, try request.rfile.takeDelimiter('\n'));
        try expectEqual(null, try request.rfile.takeDelimiter('\n'));
    }
}

test "a line longer than the buffer is an error and is not lost" {
    var input: [2 * sandsock.buffer_len + 1]u8 = @splat('x');
    input[sandsock.buffer_len - 1] = '\n';
    for ([_]usize{ 1, 100, 100_000 }) |piece| {
        var client: Client = .{ .input = &input, .piece = piece };
        defer client.deinit();
        var request = client.request();
        try expectEqual(sandsock.buffer_len - 1, (try request.rfile.takeDelimiter('\n')).?.len);
        try expectError(error.StreamTooLong, request.rfile.takeDelimiter('\n'));
        try expectError(error.StreamTooLong, request.rfile.takeDelimiter('\n'));
        const rest = (try request.readLineAlloc(gpa, 100_000)).?;
        defer gpa.free(rest);
        try expectEqual(sandsock.buffer_len + 1, rest.len);
    }
}

test "a line in allocated memory has a limit of its own" {
    var input: [20_000]u8 = @splat('x');
    input[19_998] = '\n';
    for ([_]usize{ 1, 999, 20_000 }) |piece| {
        var client: Client = .{ .input = &input, .piece = piece };
        defer client.deinit();
        var request = client.request();
        const line = (try request.readLineAlloc(gpa, 19_998)).?;
        defer gpa.free(line);
        try expectEqual(19_998, line.len);
        const last = (try request.readLineAlloc(gpa, 1)).?;
        defer gpa.free(last);
        try expectEqualStrings("x", last);
        try expectEqual(null, try request.readLineAlloc(gpa, 10));

        client.input = &input;
        try expectError(error.StreamTooLong, request.readLineAlloc(gpa, 19_997));
    }
}

test "an empty line is not the end of input" {
    var client: Client = .{ .input = "\n" };
    defer client.deinit();
    var request = client.request();
    const line = (try request.readLineAlloc(gpa, 0)).?;
    defer gpa.free(line);
    try expectEqualStrings("", line);
    try expectEqual(null, try request.readLineAlloc(gpa, 0));
}

test "small and large reads may be mixed" {
    var input: [50_000]u8 = undefined;
    for (&input, 0..) |*byte, index| byte.* = @intCast(index % 251);
    for ([_]usize{ 1, 1000, 4096, 70_000 }) |piece| {
        var client: Client = .{ .input = &input, .piece = piece };
        defer client.deinit();
        var request = client.request();
        var output: [50_000]u8 = undefined;
        var done: usize = 0;
        const lens = [_]usize{ 1, 9000, 10, 4096, 8191, 20_000 };
        var turn: usize = 0;
        while (done < output.len) : (turn += 1) {
            const len = @min(lens[turn % lens.len], output.len - done);
            try request.rfile.readSliceAll(output[done..][0..len]);
            done += len;
        }
        try expectEqualStrings(&input, &output);
        try expectError(error.EndOfStream, request.rfile.takeByte());
    }
}

test "a client is echoed through the buffer" {
    const input: [100_000]u8 = @splat('x');
    for ([_]usize{ 1000, 200_000 }) |piece| {
        var client: Client = .{ .input = &input, .piece = piece };
        defer client.deinit();
        var request = client.request();
        try expectEqual(input.len, try request.rfile.streamRemaining(&request.wfile));
        try expectEqualStrings(&input, client.written.items);
    }
}

test "what came before an error can be read" {
    var client: Client = .{ .input = "half a li", .then_read_fails = error.TimedOut };
    defer client.deinit();
    var request = client.request();
    try expectError(error.ReadFailed, request.rfile.takeDelimiter('\n'));
    try expectEqual(error.TimedOut, request.failure.?);
    try expectEqualStrings("half a li", request.rfile.buffered());
    try expectEqualStrings("TimedOut", request.errorText(error.ReadFailed));
}

test "a stream receives each write without a flush" {
    var client: Client = .{};
    defer client.deinit();
    var request = client.request();
    try request.wfile.print("{d}-{s}", .{ 1, "2" });
    try request.wfile.splatByteAll('.', 1000);
    try expectEqual(1003, client.written.items.len);
    try request.print("{d}-{s}{s}", .{ 3, "4", @as([]const u8, &@as([3000]u8, @splat('y'))) });
    try expectEqual(1003 + 3003, client.written.items.len);
    try expectEqual(0, request.wfile.buffer.len);
    try request.wfile.flush();
    try expectEqual(0, client.ends.items.len);
}

test "a flush sends what was written since the last one" {
    for ([_]sandsock.Transport{ .udp, .unixgram }) |transport| {
        var client: Client = .{ .transport = transport };
        defer client.deinit();
        var request = client.request();
        try request.wfile.flush();
        try expectEqual(0, client.ends.items.len);
        try request.wfile.writeAll("one");
        try request.wfile.writeAll(" and");
        try request.wfile.flush();
        try request.print("t{s}", .{"wo"});
        try request.wfile.flush();
        try expectEqual(2, client.ends.items.len);
        try expectEqualStrings("one and", client.datagram(0));
        try expectEqualStrings("two", client.datagram(1));
    }
}

test "a reply longer than a datagram is an error that says so" {
    const bytes: [65_507]u8 = @splat('x');
    var client: Client = .{ .transport = .udp };
    defer client.deinit();
    var request = client.request();
    try request.wfile.writeAll(&bytes);
    try expectError(error.WriteFailed, request.wfile.writeAll("x"));
    try expectEqual(error.MessageTooLong, request.failure.?);
}

test "a client that has gone took what it took" {
    var client: Client = .{ .write_fails = .{ .after = 4, .with = error.BrokenPipe } };
    defer client.deinit();
    var request = client.request();
    try request.wfile.writeAll("abc");
    try expectError(error.WriteFailed, request.print("{s}", .{"def"}));
    try expectEqual(error.BrokenPipe, request.failure.?);
    try expectEqualStrings("abcd", client.written.items);
}

test "a request tells what is known of it" {
    var client: Client = .{ .address = "", .transport = .unix, .id = 7 };
    defer client.deinit();
    var request = client.request();
    try expectEqualStrings("", request.clientAddress());
    try expectEqualStrings("127.0.0.1:9999", request.serverAddress());
    try expectEqualStrings("unix", @tagName(request.transport()));
    try expectEqual(7, request.id());
    request.setTimeout(250);
    request.setNodelay(true);
    try expectEqual(250, client.timeout);
    try expect(client.nodelay);
}

test "an error has a text" {
    var client: Client = .{ .then_read_fails = error.Unexpected };
    defer client.deinit();
    var request = client.request();
    try expectEqualStrings("no user 7", request.errorText(request.fail("no user {d}", .{7})));
    try expectEqual(1024, request.errorText(request.fail("{s}", .{@as([]const u8, &@as([2000]u8, @splat('x')))})).len);
    try expectEqualStrings("OutOfMemory", request.errorText(error.OutOfMemory));
    try expectError(error.ReadFailed, request.rfile.takeByte());
    try expectEqual(29, request.errno);
}

/// Writes the name of each step, and fails in those that the client names.
const Steps = struct {
    fails_in: []const u8 = "",

    fn step(steps: *Steps, request: *sandsock.Request, name: []const u8) !void {
        try request.wfile.writeAll(name);
        if (std.mem.find(u8, steps.fails_in, name) != null) return request.fail("in {s}", .{name});
    }

    pub fn setup(steps: *Steps, request: *sandsock.Request) !void {
        steps.fails_in = try request.rfile.takeDelimiter('\n') orelse "";
        try steps.step(request, "setup ");
    }

    pub fn handle(steps: *Steps, request: *sandsock.Request) !void {
        try steps.step(request, "handle ");
    }

    pub fn finish(steps: *Steps, request: *sandsock.Request) !void {
        try steps.step(request, "finish ");
    }
};

test "the steps run as the contract says" {
    const runs = [_][3][]const u8{
        .{ "", "setup handle finish ", "" },
        .{ "setup ", "setup ", "in setup " },
        .{ "handle ", "setup handle finish ", "in handle " },
        .{ "finish ", "setup handle finish ", "in finish " },
        .{ "handle finish ", "setup handle finish ", "in handle " },
    };
    for (runs) |run| {
        var client: Client = .{ .input = run[0], .transport = .unixgram };
        defer client.deinit();
        const result = client.serve(Steps);
        if (run[2].len > 0) try expectError(error.Failed, result) else try result;
        try expectEqualStrings(run[2], client.logged());
        try expectEqualStrings(run[1], client.datagram(0));
    }
}

test "a handler that cannot fail is one, too" {
    const Silent = struct {
        pub fn handle(_: *@This(), _: *sandsock.Request) void {}
    };
    var client: Client = .{};
    defer client.deinit();
    try client.serve(Silent);
}
