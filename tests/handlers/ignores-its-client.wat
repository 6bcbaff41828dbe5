;; Reads until it is told that there is no more, logs `reading` before the second read and its result,
;; a negative number, after it; succeeds whatever it was.
(module
  (import "rfile" "read" (func $read (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  ;; 0: an iovec. 16: a count. 32: `reading`. 48: the number. 64: input.
  (memory (export "memory") 1)
  (data (i32.const 32) "reading\n")

  (func $log (param $at i32) (param $len i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $len))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16))))

  ;; A number between -99 and -1 as `-NN` and a newline.
  (func $log_negative (param $n i32)
    (local.set $n (i32.sub (i32.const 0) (local.get $n)))
    (i32.store8 (i32.const 48) (i32.const 0x2d))
    (i32.store8 (i32.const 49)
      (i32.add (i32.const 0x30) (i32.div_u (local.get $n) (i32.const 10))))
    (i32.store8 (i32.const 50)
      (i32.add (i32.const 0x30) (i32.rem_u (local.get $n) (i32.const 10))))
    (i32.store8 (i32.const 51) (i32.const 0x0a))
    (call $log (i32.const 48) (i32.const 4)))

  (func (export "handle") (result i32)
    (local $n i32)
    (drop (call $read (i32.const 64) (i32.const 1)))
    (call $log (i32.const 32) (i32.const 8))
    (local.set $n (call $read (i32.const 64) (i32.const 1)))
    (if (i32.lt_s (local.get $n) (i32.const 0)) (then (call $log_negative (local.get $n))))
    (i32.const 0)))
