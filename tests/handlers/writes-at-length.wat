;; A command that has the host write 50 GB in one call: 1,024 times the same 50 MB.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 900)
  (func (export "_start") (local $n i32) (local $at i32)
    (loop $next
      (local.set $at (i32.add (i32.const 1024) (i32.shl (local.get $n) (i32.const 3))))
      (i32.store (local.get $at) (i32.const 0))
      (i32.store offset=4 (local.get $at) (i32.const 50000000))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $n) (i32.const 1024))))
    (drop (call $fd_write (i32.const 1) (i32.const 1024) (i32.const 1024) (i32.const 16)))))
