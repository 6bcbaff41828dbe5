;; Opens the file `file` of the first granted folder until it is refused, and answers with how often it
;; was not, and with the errno of the refusal.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wfile" "write" (func $write (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "file")
  (func (export "handle") (local $opened i32) (local $errno i32)
    (loop $next
      (local.set $errno (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4)
        (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 16)))
      (if (i32.eqz (local.get $errno)) (then
        (local.set $opened (i32.add (local.get $opened) (i32.const 1)))
        (br $next))))
    (i32.store (i32.const 32) (local.get $opened))
    (i32.store (i32.const 36) (local.get $errno))
    (drop (call $write (i32.const 32) (i32.const 8)))))
