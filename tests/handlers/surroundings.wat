;; Answers, as 32-bit numbers, what WASI offers a module: how many arguments and environment variables
;; there are, how many bytes of standard input could be read, and what `fd_prestat_get` says of the
;; first descriptor that could be a folder (8 is EBADF: there is none).
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
  (import "wfile" "write" (func $write (param i32 i32) (result i32)))
  ;; 0: the answer. 64: an iovec of 16 bytes at 128. 96: what is not asked for.
  (memory (export "memory") 1)
  (func (export "handle") (result i32)
    (if (call $args (i32.const 0) (i32.const 96)) (then (unreachable)))
    (if (call $environ (i32.const 4) (i32.const 96)) (then (unreachable)))
    (i32.store (i32.const 64) (i32.const 128))
    (i32.store (i32.const 68) (i32.const 16))
    (if (call $fd_read (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 8))
      (then (unreachable)))
    (i32.store (i32.const 12) (call $prestat (i32.const 3) (i32.const 96)))
    (drop (call $write (i32.const 0) (i32.const 16)))
    (i32.const 0)))
