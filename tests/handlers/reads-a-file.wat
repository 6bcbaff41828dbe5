;; A command that calls nothing before it opens `file` in the first granted folder; answers up to 64
;; bytes of it. An error is its exit code.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  ;; 0: an iovec of 64 bytes at 128. 32: the name. 48: the descriptor. 52: a count.
  (memory (export "memory") 1)
  (data (i32.const 0) "\80\00\00\00\40\00\00\00")
  (data (i32.const 32) "file")

  (func $check (param $result i32)
    (if (local.get $result) (then (call $proc_exit (local.get $result)))))

  (func (export "_start")
    ;; In descriptor 3, the first folder; the right to read (bit 1).
    (call $check
      (call $path_open (i32.const 3) (i32.const 0) (i32.const 32) (i32.const 4) (i32.const 0)
        (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 48)))
    (call $check
      (call $fd_read (i32.load (i32.const 48)) (i32.const 0) (i32.const 1) (i32.const 52)))
    (i32.store (i32.const 4) (i32.load (i32.const 52)))
    (call $check (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 52)))))
