;; A command that moves its descriptors about: standard output becomes number 2, and standard input is
;; closed. What comes back, through number 2, is the text `moved`, then the results of a write to number
;; 1 and of a read from number 0 (8 is EBADF).
(module
  (import "wasi_snapshot_preview1" "fd_read"
    (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_renumber" (func $fd_renumber (param i32 i32) (result i32)))
  ;; 0: an iovec of everything that is answered, at 32. 16: an iovec for the read. 96: a count.
  (memory (export "memory") 1)
  (data (i32.const 0) "\20\00\00\00\0d\00\00\00")
  (data (i32.const 16) "\80\00\00\00\10\00\00\00")
  (data (i32.const 32) "moved")
  (func (export "_start")
    (if (call $fd_renumber (i32.const 1) (i32.const 2)) (then (unreachable)))
    (i32.store (i32.const 37)
      (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 96)))
    (if (call $fd_close (i32.const 0)) (then (unreachable)))
    (i32.store (i32.const 41)
      (call $fd_read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 96)))
    (if (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 96))
      (then (unreachable)))))
