;; The handler `hello` without SDK or compiler, in WebAssembly's text form: logs who connects and the
;; line that they send, and answers 你好.
(module
  (import "rfile" "read_line" (func $read_line (param i32 i32) (result i32)))
  (import "wfile" "write" (func $write (param i32 i32) (result i32)))
  (import "request" "client_address" (func $client_address (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))

  (memory (export "memory") 1)
  (data (i32.const 16) "connect from ")
  (data (i32.const 32) "\e4\bd\a0\e5\a5\bd") ;; 你好 in UTF-8

  ;; Standard output is the log: a line is an event. 0 holds the iovec, 8 the number of bytes written.
  (func $log (param $at i32) (param $len i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $len))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))

  (func $log_client
    (local $len i32)
    ;; The address goes right behind the words at 16; it may be longer than what there is room for.
    (memory.copy (i32.const 1024) (i32.const 16) (i32.const 13))
    (local.set $len (call $client_address (i32.const 1037) (i32.const 200)))
    (if (i32.gt_u (local.get $len) (i32.const 200)) (then (local.set $len (i32.const 200))))
    (i32.store8 (i32.add (i32.const 1037) (local.get $len)) (i32.const 10))
    (call $log (i32.const 1024) (i32.add (local.get $len) (i32.const 14))))

  (func (export "handle") (result i32)
    (local $len i32)
    (call $log_client)
    (local.set $len (call $read_line (i32.const 2048) (i32.const 1024)))
    ;; Less than 0 is an error, such as a client that went away: report it.
    (if (i32.lt_s (local.get $len) (i32.const 0)) (then (return (i32.const 1))))
    (call $log (i32.const 2048) (local.get $len))
    (i32.lt_s (call $write (i32.const 32) (i32.const 6)) (i32.const 0))))
