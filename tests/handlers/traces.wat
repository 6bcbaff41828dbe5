;; Looks for what an earlier request left behind, answers what it found, then leaves its own mark
;; everywhere it can: a global, a word of memory, the pages up to the end, a table, a data segment.
;; In a fresh instance the answer is always `fresh`.
(module
  (import "rfile" "read" (func $read (param i32 i32) (result i32)))
  (import "wfile" "write" (func $write (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (table $table 2 funcref)
  (global $count (mut i32) (i32.const 0))
  (data $passive "x")
  (data (i32.const 16) "freshmarked")
  (elem declare func $mark)

  (func $is_marked (result i32)
    (local $at i32)
    (if (global.get $count) (then (return (i32.const 1))))
    (if (i32.ne (memory.size) (i32.const 2)) (then (return (i32.const 1))))
    (if (i32.ne (table.size $table) (i32.const 2)) (then (return (i32.const 1))))
    (if (i32.eqz (ref.is_null (table.get $table (i32.const 1)))) (then (return (i32.const 1))))
    (local.set $at (i32.const 1024))
    (loop $look
      (if (i32.load8_u (local.get $at)) (then (return (i32.const 1))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $look (i32.lt_u (local.get $at) (i32.const 131072))))
    ;; Traps if an earlier request dropped the segment.
    (memory.init $passive (i32.const 0) (i32.const 0) (i32.const 1))
    (i32.const 0))

  (func $mark
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (memory.fill (i32.const 1024) (i32.const 0xaa) (i32.const 130048))
    (drop (memory.grow (i32.const 1)))
    (memory.fill (i32.const 131072) (i32.const 0xaa) (i32.const 65536))
    (table.set $table (i32.const 1) (ref.func $mark))
    (drop (table.grow $table (ref.func $mark) (i32.const 3)))
    (data.drop $passive))

  ;; Waits for the end of input between looking and marking, so that instances can lie side by side.
  (func (export "handle") (result i32)
    (local $marked i32)
    (local.set $marked (call $is_marked))
    (call $mark)
    (loop $wait (br_if $wait (i32.gt_s (call $read (i32.const 0) (i32.const 8)) (i32.const 0))))
    (if (local.get $marked)
      (then (drop (call $write (i32.const 21) (i32.const 6))))
      (else (drop (call $write (i32.const 16) (i32.const 5)))))
    (i32.const 0)))
