//! The root of a module. It imports the project's file as `handler`, and exports the steps that its
//! `Handler` has.

const std = @import("std");
const sandsock = @import("sandsock");
const Handler = @import("handler").Handler;

/// A panic is on the log and ends the instance: no later step runs.
pub const panic = std.debug.FullPanic(struct {
    fn panic(message: []const u8, _: ?usize) noreturn {
        sandsock.module.log("panic: ");
        sandsock.module.log(message);
        sandsock.module.log("\n");
        @trap();
    }
}.panic);

/// The handler's own, if it has any.
pub const std_options: std.Options = if (@hasDecl(@import("handler"), "std_options")) @import("handler").std_options else .{};
pub const std_options_debug_io = sandsock.module.debug_io;

var buffer: [sandsock.buffer_len]u8 = @splat(0);
var request: sandsock.Request = undefined;
var handler: Handler = undefined;
var is_begun = false;

comptime {
    for ([_][]const u8{ "setup", "handle", "finish" }) |name| {
        if (@hasDecl(Handler, name)) @export(&Step(name).run, .{ .name = name });
    }
    if (!@hasDecl(Handler, "handle")) @compileError("a Handler needs `pub fn handle`");
}

/// A step as the host calls it: 0, or 1 and a line in the log.
fn Step(comptime name: []const u8) type {
    return struct {
        fn run() callconv(.c) i32 {
            if (!is_begun) {
                is_begun = true;
                request = .init(.{}, &buffer);
                handler = .{};
            }
            const result: anyerror!void = @field(Handler, name)(&handler, &request);
            result catch |err| {
                sandsock.module.log(request.errorText(err));
                sandsock.module.log("\n");
                return 1;
            };
            return 0;
        }
    };
}
