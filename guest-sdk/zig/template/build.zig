//! zig build        the handler, zig-out/bin/{{name}}.wasm
//! zig build test   its tests, on this machine

const std = @import("std");

pub fn build(b: *std.Build) void {
    // Under `-Doptimize=safe` an index out of bounds, or an overflow, ends a request with a panic.
    const optimize = b.option(std.builtin.Optimize, "optimize", "debug, safe, fast, small (default)") orelse .small;

    const wasm = b.resolveTargetQuery(.{ .cpu_arch = .wasm32, .os_tag = .wasi });
    const handler = b.addExecutable(.{
        .name = "{{name}}",
        .root_module = b.createModule(.{
            .root_source_file = b.path("sandsock/main.zig"),
            .target = wasm,
            .optimize = optimize,
            .single_threaded = true,
        }),
    });
    handler.entry = .disabled;
    handler.rdynamic = true;
    // Every request has a fresh stack: a small one is set up faster.
    handler.stack_size = 64 * 1024;
    const sandsock = b.createModule(.{ .root_source_file = b.path("sandsock/sandsock.zig") });
    handler.root_module.addImport("sandsock", sandsock);
    handler.root_module.addAnonymousImport("handler", .{
        .root_source_file = b.path("src/handler.zig"),
        .imports = &.{.{ .name = "sandsock", .module = sandsock }},
    });
    b.installArtifact(handler);

    const tests = b.addTest(.{
        .root_module = b.createModule(.{
            .root_source_file = b.path("src/handler.zig"),
            .target = b.graph.host,
            .imports = &.{.{ .name = "sandsock", .module = sandsock }},
        }),
    });
    b.step("test", "Run the tests").dependOn(&b.addRunArtifact(tests).step);
}
