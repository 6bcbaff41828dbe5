;; Its start function never ends, for every second request; the others are answered.
(module
  (import "request" "id" (func $id (result i64)))
  (import "wfile" "write" (func $write (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "served")
  (func $spin
    (if (i32.wrap_i64 (i64.and (call $id) (i64.const 1)))
      (then (loop $for_ever (br $for_ever)))))
  (start $spin)
  (func (export "handle")
    (drop (call $write (i32.const 0) (i32.const 6)))))
