;; Answers 300,000 bytes (byte n is n mod 251) and never reads.
(module
  (import "wfile" "write" (func $write (param i32 i32) (result i32)))
  (memory (export "memory") 5)
  (func (export "handle") (result i32)
    (local $n i32)
    (loop $more
      (i32.store8 (local.get $n) (i32.rem_u (local.get $n) (i32.const 251)))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $n) (i32.const 300000))))
    (i32.ne (call $write (i32.const 0) (i32.const 300000)) (i32.const 300000))))
