//! The host of a module: the imports of the module ABI, version 1, and the log by way of WASI.

const std = @import("std");
const sandsock = @import("sandsock.zig");

const abi = struct {
    extern "rfile" fn read(buf: [*]u8, len: usize) i32;
    extern "wfile" fn write(buf: [*]const u8, len: usize) i32;
    extern "wfile" fn flush() i32;
    extern "request" fn client_address(buf: [*]u8, len: usize) i32;
    extern "request" fn server_address(buf: [*]u8, len: usize) i32;
    extern "request" fn transport() i32;
    extern "request" fn id() i64;
    extern "request" fn set_timeout(millis: i64) i32;
    extern "request" fn set_nodelay(on: i32) i32;
};

/// Zeroes, so that the file carries none of it and no page is touched before bytes come. A path of a
/// Unix socket has at most 108 bytes; one that is not UTF-8 comes as three.
var client: [336]u8 = @splat(0);
var server: [336]u8 = @splat(0);

/// What a `Request` asks of the host.
pub const Host = struct {
    pub fn read(_: Host, into: []u8) i32 {
        return abi.read(into.ptr, into.len);
    }

    pub fn write(_: Host, bytes: []const u8) i32 {
        return abi.write(bytes.ptr, bytes.len);
    }

    pub fn flush(_: Host) i32 {
        return abi.flush();
    }

    pub fn clientAddress(_: Host) []const u8 {
        return text(&client, abi.client_address(&client, client.len));
    }

    pub fn serverAddress(_: Host) []const u8 {
        return text(&server, abi.server_address(&server, server.len));
    }

    pub fn transport(_: Host) sandsock.Transport {
        return @fromBackingInt(@as(u2, @truncate(@as(u32, @bitCast(abi.transport())))));
    }

    pub fn id(_: Host) u64 {
        return @bitCast(abi.id());
    }

    pub fn setTimeout(_: Host, millis: u32) void {
        _ = abi.set_timeout(millis);
    }

    pub fn setNodelay(_: Host, on: bool) void {
        _ = abi.set_nodelay(@intFromBool(on));
    }
};

/// The host returns the full length, and has copied what fits.
fn text(bytes: []const u8, len: i32) []const u8 {
    return bytes[0..@min(bytes.len, @as(usize, @intCast(@max(len, 0))))];
}

/// Writes to standard error, which is the log: a line is one event.
pub fn log(bytes: []const u8) void {
    const piece: std.os.wasi.ciovec_t = .{ .base = bytes.ptr, .len = bytes.len };
    var written: usize = 0;
    _ = std.os.wasi.fd_write(2, @ptrCast(&piece), 1, &written);
}

/// What `std.debug.print` and `std.log` print with: standard error, and nothing else of a system. The
/// standard library's own brings 25 imports of WASI into the module.
pub const debug_io: std.Io = .{ .userdata = null, .vtable = &debug_vtable };

const debug_vtable = vtable: {
    var vtable = std.Io.failing.vtable.*;
    vtable.swapCancelProtection = swapCancelProtection;
    vtable.lockStderr = lockStderr;
    vtable.unlockStderr = unlockStderr;
    vtable.operate = operate;
    break :vtable vtable;
};

var stderr: std.Io.File.Writer = .initStreaming(.stderr(), debug_io, &.{});

fn swapCancelProtection(_: ?*anyopaque, _: std.Io.CancelProtection) std.Io.CancelProtection {
    return .unblocked;
}

fn lockStderr(_: ?*anyopaque, _: ?std.Io.Terminal.Mode) std.Io.Cancelable!std.Io.LockedStderr {
    return .{ .file_writer = &stderr, .terminal_mode = .no_color };
}

fn unlockStderr(_: ?*anyopaque) void {
    stderr.interface.flush() catch {};
    stderr.interface.buffer = &.{};
    stderr.interface.end = 0;
}

fn operate(userdata: ?*anyopaque, operation: std.Io.Operation) std.Io.Cancelable!std.Io.Operation.Result {
    const write = switch (operation) {
        .file_write_streaming => |write| write,
        else => return std.Io.failingOperate(userdata, operation),
    };
    var count: usize = write.header.len;
    log(write.header);
    for (write.data, 1..) |bytes, number| {
        for (0..if (number == write.data.len) write.splat else 1) |_| {
            if (bytes.len > 0) log(bytes);
            count += bytes.len;
        }
    }
    return .{ .file_write_streaming = count };
}
