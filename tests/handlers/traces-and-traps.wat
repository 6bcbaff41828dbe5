;; Looks for what an earlier request left behind, answers what it found, leaves its own mark in memory
;; and in a global, and traps. In a fresh instance the answer is always `fresh`.
(module
  (import "wfile" "write" (func $write (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $count (mut i32) (i32.const 0))
  (data (i32.const 16) "freshmarked")
  (func (export "handle")
    (if (i32.or (global.get $count) (i32.load (i32.const 32768)))
      (then (drop (call $write (i32.const 21) (i32.const 6))))
      (else (drop (call $write (i32.const 16) (i32.const 5)))))
    (global.set $count (i32.const 1))
    (memory.fill (i32.const 0) (i32.const 0xaa) (i32.const 65536))
    (unreachable)))
