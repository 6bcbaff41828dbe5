/** The imports: those of the module ABI, version 1, and two of WASI preview 1. */

// @ts-ignore: decorator
@external("rfile", "read")
export declare function rfile_read(buf: usize, len: usize): i32;

// @ts-ignore: decorator
@external("wfile", "write")
export declare function wfile_write(buf: usize, len: usize): i32;

// @ts-ignore: decorator
@external("wfile", "flush")
export declare function wfile_flush(): i32;

// @ts-ignore: decorator
@external("request", "client_address")
export declare function client_address(buf: usize, len: usize): i32;

// @ts-ignore: decorator
@external("request", "server_address")
export declare function server_address(buf: usize, len: usize): i32;

// @ts-ignore: decorator
@external("request", "transport")
export declare function transport(): i32;

// @ts-ignore: decorator
@external("request", "id")
export declare function id(): u64;

// @ts-ignore: decorator
@external("request", "set_timeout")
export declare function set_timeout(millis: i64): i32;

// @ts-ignore: decorator
@external("request", "set_nodelay")
export declare function set_nodelay(on: i32): i32;

// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_write")
export declare function fd_write(fd: i32, pieces: usize, count: usize, written: usize): i32;

// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "random_get")
export declare function random_get(buf: usize, len: usize): i32;
