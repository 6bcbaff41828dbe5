;; Answers whether `_initialize` ran before it. The other two exports are left out, and `handle` returns
;; nothing.
(module
  (import "wfile" "write" (func $write (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "initialized")
  (global $times (mut i32) (i32.const 0))
  (func (export "_initialize") (global.set $times (i32.add (global.get $times) (i32.const 1))))
  (func (export "handle")
    (if (i32.eq (global.get $times) (i32.const 1))
      (then (drop (call $write (i32.const 0) (i32.const 11)))))))
