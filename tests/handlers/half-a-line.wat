;; Prints text without a newline, in two pieces, and ends.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  ;; 0 and 8: an iovec each. 16: a count. 32: the text.
  (memory (export "memory") 1)
  (data (i32.const 0) "\20\00\00\00\05\00\00\00\25\00\00\00\06\00\00\00")
  (data (i32.const 32) "half a line")
  (func (export "handle")
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
    (drop (call $fd_write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16)))))
