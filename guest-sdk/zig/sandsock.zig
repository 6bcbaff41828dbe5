//! Request handlers for sandsock, in Zig.
//!
//! A handler is what Python's `socketserver` calls a `StreamRequestHandler`: it reads `rfile`, writes
//! `wfile`, and does not know whether a TCP connection, a Unix stream or a datagram stands behind
//! them. Each request has an instance of its own, with fresh memory.
//!
//!     const sandsock = @import("sandsock");
//!
//!     pub const Handler = struct {
//!         pub fn handle(_: *Handler, request: *sandsock.Request) !void {
//!             const line = try request.rfile.takeDelimiter('\n') orelse "";
//!             try request.wfile.writeAll(line);
//!         }
//!     };
//!
//! `Handler` may have the three steps of Python's: `setup`, `handle` and `finish`, of which only
//! `handle` is required. The value is made of its fields' defaults, and lives through the steps.
//!
//! | file | concept |
//! |---|---|
//! | `sandsock.zig` | `Request`: reading, writing, and what is known of it |
//! | `module.zig` | the host of a module: its imports, and WASI's log |
//! | `main.zig` | the root of a module: the exports, and what becomes of an error or a panic |
//! | `testing.zig` | a client and a server for unit tests, in a native build |

const builtin = @import("builtin");
const std = @import("std");

/// A client in memory, in native builds.
pub const testing = @import("testing.zig");

/// For `main.zig`; not for use by hand.
pub const module = @import("module.zig");

const Host = if (builtin.target.cpu.arch.isWasm()) module.Host else testing.Host;

/// Why an operation on `rfile` or `wfile` failed.
pub const Error = error{
    /// Not one byte moved for the idle timeout, or for what `setTimeout` has set.
    TimedOut,
    /// The client does not read any more.
    BrokenPipe,
    /// The client ended the connection by force.
    ConnectionReset,
    /// The reply is longer than a datagram can be.
    MessageTooLong,
    /// Anything else: `Request.errno` has the host's number for it.
    Unexpected,
};

/// What carries a request. Its tag's name is the scheme of the server's address.
pub const Transport = enum(u2) {
    tcp = 0,
    udp = 1,
    unix = 2,
    unixgram = 3,

    /// Whether `rfile` is one packet and `wfile` sends packets.
    pub fn isDatagram(transport: Transport) bool {
        return transport == .udp or transport == .unixgram;
    }
};

/// The size of `rfile`'s buffer in bytes, and so of the longest line that `takeDelimiter` takes, its `\n`
/// included.
pub const buffer_len = 8192;

/// The request that a handler serves.
pub const Request = struct {
    /// What the client sends, buffered as Python's `rfile` is; the end of a stream is the end of
    /// input, and of a datagram the end of the packet.
    ///
    /// `takeDelimiter('\n')` is a line, without its `\n`, of less than `buffer_len` bytes: a longer one is
    /// `error.StreamTooLong`, and nothing of it is taken. See `readLineAlloc` for other limits. `peekGreedy(1)` is what is there,
    /// as soon as a byte is; `peek` and `take` of more than `buffer_len` bytes are a mistake of the
    /// handler's. On `error.ReadFailed`, `failure` says why: `TimedOut`, `ConnectionReset`.
    rfile: std.Io.Reader,
    /// What the client receives, unbuffered as Python's `wfile` is: a write sends all of it, and is
    /// done when the last byte is the system's. For a datagram it is collected; `flush` sends what was
    /// written since the last flush as one datagram, and the end of the request does so with the rest.
    ///
    /// `wfile.print` is a write for each piece of its format: see `Request.print`. On
    /// `error.WriteFailed`, `failure` says why: `BrokenPipe` and `ConnectionReset` when the client has
    /// gone, `TimedOut` when it did not read in time, `MessageTooLong` for a datagram.
    wfile: std.Io.Writer,
    /// Why `rfile` or `wfile` has failed, if one has: of the last time.
    failure: ?Error = null,
    /// The number of `error.Unexpected` in WASI preview 1.
    errno: u16 = 0,
    host: Host,
    reason: [1024]u8 = undefined,
    reason_len: usize = 0,

    /// A line through `\n` or the end of input, without its `\n`, in memory of `gpa`; null at the end
    /// of input. `max` is its longest length in bytes.
    ///
    /// Errors: `StreamTooLong` beyond `max`, `OutOfMemory`, `ReadFailed`.
    pub fn readLineAlloc(request: *Request, gpa: std.mem.Allocator, max: usize) !?[]u8 {
        var line: std.Io.Writer.Allocating = .init(gpa);
        defer line.deinit();
        const rfile = &request.rfile;
        _ = rfile.streamDelimiterLimit(&line.writer, '\n', .limited(max +| 1)) catch |err| switch (err) {
            error.WriteFailed => return error.OutOfMemory,
            else => |other| return other,
        };
        if (rfile.takeByte()) |_| {} else |err| switch (err) {
            error.EndOfStream => if (line.written().len == 0) return null,
            error.ReadFailed => return error.ReadFailed,
        }
        return try line.toOwnedSlice();
    }

    /// Writes to `wfile` as `wfile.print` does, in pieces of 1 KiB in place of very small ones.
    pub fn print(request: *Request, comptime format: []const u8, args: anytype) std.Io.Writer.Error!void {
        var buffer: [1024]u8 = undefined;
        const wfile = &request.wfile;
        wfile.buffer = &buffer;
        defer {
            wfile.buffer = &.{};
            wfile.end = 0;
        }
        try wfile.print(format, args);
        _ = try drain(wfile, &.{""}, 0);
    }

    /// The client: `127.0.0.1:4711`, `[::1]:4711`, a path, or empty for an unnamed peer. It lives as
    /// long as the request.
    pub fn clientAddress(request: *Request) []const u8 {
        return request.host.clientAddress();
    }

    /// The address that the request came to, written in the same way.
    pub fn serverAddress(request: *Request) []const u8 {
        return request.host.serverAddress();
    }

    /// What carries the request.
    pub fn transport(request: *Request) Transport {
        return request.host.transport();
    }

    /// The request's number, as in the log.
    pub fn id(request: *Request) u64 {
        return request.host.id();
    }

    /// Python's `timeout`, in milliseconds: the longest that each later read and write waits without
    /// a byte moving. Never beyond what the operator allows; 0 is the operator's.
    pub fn setTimeout(request: *Request, millis: u32) void {
        request.host.setTimeout(millis);
    }

    /// Python's `disable_nagle_algorithm`; where the transport has none, nothing.
    pub fn setNodelay(request: *Request, on: bool) void {
        request.host.setNodelay(on);
    }

    /// Gives an error a text for the log, cut off at 1 KiB: `return request.fail("no user {s}", .{name})`.
    pub fn fail(request: *Request, comptime format: []const u8, args: anytype) error{Failed} {
        var text: std.Io.Writer = .fixed(&request.reason);
        text.print(format, args) catch {};
        request.reason_len = text.end;
        return error.Failed;
    }

    /// What an error that a step returned reads as in the log: the text of `fail`, the `failure` behind
    /// `ReadFailed` and `WriteFailed`, or the error's name.
    pub fn errorText(request: *const Request, err: anyerror) []const u8 {
        return switch (err) {
            error.Failed => request.reason[0..request.reason_len],
            error.ReadFailed, error.WriteFailed => @errorName(request.failure orelse err),
            else => @errorName(err),
        };
    }

    /// For `main.zig` and `testing.zig`.
    pub fn init(host: Host, buffer: []u8) Request {
        return .{
            .rfile = .{ .vtable = &.{ .stream = stream }, .buffer = buffer, .seek = 0, .end = 0 },
            .wfile = .{ .vtable = &.{ .drain = drain, .flush = flush }, .buffer = &.{} },
            .host = host,
        };
    }

    /// A result of the ABI: a count, or a negated errno of WASI preview 1.
    fn check(request: *Request, result: i32) ?usize {
        if (result >= 0) return @intCast(result);
        request.failure = switch (result) {
            -15 => error.ConnectionReset,
            -35 => error.MessageTooLong,
            -64 => error.BrokenPipe,
            -73 => error.TimedOut,
            else => error.Unexpected,
        };
        request.errno = @truncate(0 -% @as(u32, @bitCast(result)));
        return null;
    }

    fn receive(request: *Request, into: []u8) std.Io.Reader.Error!usize {
        const count = request.check(request.host.read(into)) orelse return error.ReadFailed;
        return if (count == 0) error.EndOfStream else count;
    }

    fn stream(rfile: *std.Io.Reader, into: *std.Io.Writer, limit: std.Io.Limit) std.Io.Reader.StreamError!usize {
        const request: *Request = @alignCast(@fieldParentPtr("rfile", rfile));
        if (into.buffer.len > 0) {
            const count = try request.receive(limit.slice(try into.writableSliceGreedy(1)));
            into.advance(count);
            return count;
        }
        // A writer without room of its own, as `wfile` is, is given what is then held here. If there is
        // no room here either, a line is too long, and the standard library asks by way of a writer
        // that fails.
        if (rfile.seek == rfile.end) {
            rfile.seek = 0;
            rfile.end = 0;
        }
        if (rfile.end == rfile.buffer.len) return error.WriteFailed;
        rfile.end += try request.receive(rfile.buffer[rfile.end..]);
        return 0;
    }

    fn send(request: *Request, bytes: []const u8) std.Io.Writer.Error!usize {
        if (bytes.len == 0) return 0;
        return request.check(request.host.write(bytes)) orelse error.WriteFailed;
    }

    fn drain(wfile: *std.Io.Writer, data: []const []const u8, splat: usize) std.Io.Writer.Error!usize {
        const request: *Request = @alignCast(@fieldParentPtr("wfile", wfile));
        _ = try request.send(wfile.buffered());
        wfile.end = 0;
        var count: usize = 0;
        for (data[0 .. data.len - 1]) |bytes| count += try request.send(bytes);
        const last = data[data.len - 1];
        if (last.len == 1 and splat > 1) {
            var run: [256]u8 = @splat(last[0]);
            return count + try request.send(run[0..@min(splat, run.len)]);
        }
        for (0..splat) |_| count += try request.send(last);
        return count;
    }

    fn flush(wfile: *std.Io.Writer) std.Io.Writer.Error!void {
        const request: *Request = @alignCast(@fieldParentPtr("wfile", wfile));
        _ = try drain(wfile, &.{""}, 0);
        _ = request.check(request.host.flush()) orelse return error.WriteFailed;
    }
};
