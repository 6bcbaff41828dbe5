//! The handler that every SDK is held to: it does what its client's first line says.

const std = @import("std");
const sandsock = @import("sandsock");

const Request = sandsock.Request;
const gpa = std.heap.wasm_allocator;

/// No line of the tests is longer.
const line_max = 1 << 20;

pub const Handler = struct {
    order: ?[]const u8 = null,

    pub fn setup(handler: *Handler, request: *Request) !void {
        handler.order = try line(request) orelse return;
        if (std.mem.eql(u8, handler.order.?, "refuse")) return request.fail("refused in setup", .{});
    }

    pub fn handle(handler: *Handler, request: *Request) !void {
        const order = handler.order orelse return request.wfile.writeAll("empty\n");
        const orders = std.StaticStringMap(*const fn (*Request) anyerror!void).initComptime(.{
            .{ "hello", hello },
            .{ "echo", echo },
            .{ "lines", lines },
            .{ "mixed", mixed },
            .{ "datagrams", datagrams },
            .{ "about", about },
            .{ "random", random },
            .{ "pour", pour },
            .{ "steps", steps },
        });
        if (orders.get(order)) |call| return call(request);
        if (argument(order, "timeout ")) |millis| return timeout(request, millis);
        if (argument(order, "print ")) |text| {
            std.debug.print("{s}\n", .{text});
            return request.wfile.writeAll("printed\n");
        }
        if (argument(order, "fail ")) |text| {
            try request.wfile.writeAll("before\n");
            return request.fail("{s}", .{text});
        }
        if (argument(order, "crash ")) |text| {
            try request.wfile.writeAll("before\n");
            @panic(text);
        }
        return request.fail("no such order: {s}", .{order});
    }

    pub fn finish(handler: *Handler, request: *Request) !void {
        const order = handler.order orelse return;
        for ([_][]const u8{ "fail", "crash" }) |told| {
            if (std.mem.startsWith(u8, order, told)) return request.wfile.writeAll("finish\n");
        }
        if (std.mem.eql(u8, order, "steps")) return request.wfile.writeAll("finish\n");
    }
};

fn argument(order: []const u8, name: []const u8) ?[]const u8 {
    return if (std.mem.startsWith(u8, order, name)) order[name.len..] else null;
}

fn line(request: *Request) !?[]const u8 {
    const text = try request.readLineAlloc(gpa, line_max) orelse return null;
    return std.mem.cutSuffix(u8, text, "\r") orelse text;
}

fn hello(request: *Request) !void {
    try request.print("hello, {s}\n", .{try line(request) orelse ""});
}

fn echo(request: *Request) !void {
    _ = try request.rfile.streamRemaining(&request.wfile);
}

fn lines(request: *Request) !void {
    while (try line(request)) |text| {
        defer gpa.free(text);
        if (std.mem.eql(u8, text, "quit")) return request.wfile.writeAll("bye\n");
        if (sum(text)) |number| {
            try request.print("{d}\n", .{number});
        } else {
            try request.print("error: what is `{s}`?\n", .{text});
        }
    }
}

/// Of a line `add A B`.
fn sum(text: []const u8) ?i64 {
    var words = std.mem.splitScalar(u8, argument(text, "add ") orelse return null, ' ');
    const a = std.fmt.parseInt(i64, words.next() orelse return null, 10) catch return null;
    const b = std.fmt.parseInt(i64, words.next() orelse return null, 10) catch return null;
    if (words.next() != null) return null;
    return std.math.add(i64, a, b) catch null;
}

fn mixed(request: *Request) !void {
    const three = (try request.rfile.takeArray(3)).*;
    try request.print("[{s}][{s}][", .{ three, try line(request) orelse "" });
    try echo(request);
    try request.wfile.writeAll("]");
}

fn timeout(request: *Request, millis: []const u8) !void {
    request.setTimeout(try std.fmt.parseInt(u32, millis, 10));
    const text = line(request) catch |err| switch (request.failure orelse return err) {
        error.TimedOut => return request.wfile.writeAll("timed out\n"),
        else => return err,
    };
    try request.print("got {s}\n", .{text orelse ""});
}

fn random(request: *Request) !void {
    var number: u64 = undefined;
    if (std.os.wasi.random_get(std.mem.asBytes(&number), @sizeOf(u64)) != .SUCCESS) return request.fail("no random bytes", .{});
    try request.print("{d}\n", .{number});
}

fn datagrams(request: *Request) !void {
    for ([_][]const u8{ "one", "two" }) |text| {
        try request.wfile.writeAll(text);
        try request.wfile.flush();
    }
}

fn about(request: *Request) !void {
    try request.print("{s}\n{s}\n{t}\n{d}\n", .{
        request.clientAddress(), request.serverAddress(), request.transport(), request.id(),
    });
}

fn pour(request: *Request) !void {
    const bytes = try gpa.alloc(u8, 64 * 1024);
    @memset(bytes, 'x');
    while (true) try request.wfile.writeAll(bytes);
}

fn steps(request: *Request) !void {
    try request.wfile.writeAll("handle\n");
}
