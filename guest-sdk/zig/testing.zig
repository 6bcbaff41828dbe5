//! A client and a server for unit tests: what the client sends is given, what it receives is kept.
//!
//!     test "greets" {
//!         var client: sandsock.testing.Client = .{ .input = "hello,server\n" };
//!         defer client.deinit();
//!         try client.serve(Handler);
//!         try std.testing.expectEqualStrings("你好", client.written.items);
//!     }

const std = @import("std");
const sandsock = @import("sandsock.zig");

/// The longest UDP datagram over IPv4: 65,535 less the headers of IP and UDP.
const longest_datagram = 65_507;

/// A client in memory. The fields with a default are a test's to set.
pub const Client = struct {
    /// What it sends before it ends its side; over a datagram, one packet.
    input: []const u8 = "",
    address: []const u8 = "127.0.0.1:4711",
    server_address: []const u8 = "127.0.0.1:9999",
    transport: sandsock.Transport = .tcp,
    id: u64 = 1,
    /// The most bytes of the input that come at a time, as over a slow line; at least 1.
    piece: usize = std.math.maxInt(usize),
    /// What each read after the input fails with, in place of the end of input: `TimedOut` for a
    /// client that falls silent, `ConnectionReset` for one that vanishes.
    then_read_fails: ?sandsock.Error = null,
    /// After how many bytes a write fails, and with what: `BrokenPipe` for a client that has gone,
    /// `TimedOut` for one that does not read.
    write_fails: ?struct { after: usize, with: sandsock.Error } = null,

    /// All that was written so far, over whatever transport.
    written: std.ArrayList(u8) = .empty,
    /// Where each datagram that was sent ends in `written`: see `datagram`.
    ends: std.ArrayList(usize) = .empty,
    /// What a handler has set last.
    timeout: u32 = 0,
    nodelay: bool = false,
    /// What the log says of the error that `serve` returned.
    log: [1024]u8 = undefined,
    log_len: usize = 0,
    buffer: [sandsock.buffer_len]u8 = undefined,

    /// Frees what was kept.
    pub fn deinit(client: *Client) void {
        client.written.deinit(gpa);
        client.ends.deinit(gpa);
    }

    /// The request of this client, to read and write by hand.
    pub fn request(client: *Client) sandsock.Request {
        return .init(.{ .client = client }, &client.buffer);
    }

    /// Serves it with a new `Handler`, as the host does: `setup`, `handle`, `finish`; no more after an
    /// error of `setup`, but `finish` after one of `handle`. At the end what was written to a datagram
    /// client and not flushed is sent. A panic, which ends an instance, ends the test.
    ///
    /// Errors: the first that a step returned.
    pub fn serve(client: *Client, comptime Handler: type) anyerror!void {
        var served = client.request();
        var handler: Handler = .{};
        const result = client.steps(Handler, &handler, &served);
        try served.wfile.flush();
        return result;
    }

    fn steps(client: *Client, comptime Handler: type, handler: *Handler, served: *sandsock.Request) anyerror!void {
        if (@hasDecl(Handler, "setup")) try client.kept(served, handler.setup(served));
        const handled = client.kept(served, handler.handle(served));
        if (@hasDecl(Handler, "finish")) {
            const finished: anyerror!void = handler.finish(served);
            try handled;
            return client.kept(served, finished);
        }
        return handled;
    }

    /// The text is the request's only until the next error.
    fn kept(client: *Client, served: *const sandsock.Request, result: anyerror!void) anyerror!void {
        result catch |err| {
            const text = served.errorText(err);
            @memcpy(client.log[0..text.len], text);
            client.log_len = text.len;
        };
        return result;
    }

    /// What the log says of the error that `serve` returned.
    pub fn logged(client: *const Client) []const u8 {
        return client.log[0..client.log_len];
    }

    /// The datagram that was sent as number `index`, counted from 0; there are `ends.items.len`.
    pub fn datagram(client: *const Client, index: usize) []const u8 {
        const start = if (index > 0) client.ends.items[index - 1] else 0;
        return client.written.items[start..client.ends.items[index]];
    }
};

const gpa = std.testing.allocator;

/// What a `Request` asks of the host.
pub const Host = struct {
    client: *Client,

    pub fn read(host: Host, into: []u8) i32 {
        const client = host.client;
        if (client.input.len == 0) return if (client.then_read_fails) |err| number(err) else 0;
        const count = @min(into.len, client.piece, client.input.len);
        @memcpy(into[0..count], client.input[0..count]);
        client.input = client.input[count..];
        return @intCast(count);
    }

    pub fn write(host: Host, bytes: []const u8) i32 {
        const client = host.client;
        const collected = client.written.items.len - (client.ends.getLastOrNull() orelse 0);
        if (client.transport.isDatagram() and collected + bytes.len > longest_datagram)
            return number(error.MessageTooLong);
        if (client.write_fails) |fails| {
            const room = fails.after -| client.written.items.len;
            if (room < bytes.len) {
                client.written.appendSlice(gpa, bytes[0..room]) catch @panic("out of memory");
                return number(fails.with);
            }
        }
        client.written.appendSlice(gpa, bytes) catch @panic("out of memory");
        return @intCast(bytes.len);
    }

    pub fn flush(host: Host) i32 {
        const client = host.client;
        const sent = client.ends.getLastOrNull() orelse 0;
        if (client.transport.isDatagram() and client.written.items.len > sent)
            client.ends.append(gpa, client.written.items.len) catch @panic("out of memory");
        return 0;
    }

    pub fn clientAddress(host: Host) []const u8 {
        return host.client.address;
    }

    pub fn serverAddress(host: Host) []const u8 {
        return host.client.server_address;
    }

    pub fn transport(host: Host) sandsock.Transport {
        return host.client.transport;
    }

    pub fn id(host: Host) u64 {
        return host.client.id;
    }

    pub fn setTimeout(host: Host, millis: u32) void {
        host.client.timeout = millis;
    }

    pub fn setNodelay(host: Host, on: bool) void {
        host.client.nodelay = on;
    }
};

/// As the module ABI numbers it.
fn number(err: sandsock.Error) i32 {
    return switch (err) {
        error.ConnectionReset => -15,
        error.Unexpected => -29,
        error.MessageTooLong => -35,
        error.BrokenPipe => -64,
        error.TimedOut => -73,
    };
}
