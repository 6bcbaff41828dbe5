;; Prints what its client sends, all of it by one call.
(module
  (import "rfile" "read" (func $read (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "handle") (local $n i32) (local $len i32)
    (loop $next
      (local.set $n (call $read
        (i32.add (i32.const 1024) (local.get $len)) (i32.sub (i32.const 65536) (local.get $len))))
      (local.set $len (i32.add (local.get $len) (local.get $n)))
      (br_if $next (i32.gt_s (local.get $n) (i32.const 0))))
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (local.get $len))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
