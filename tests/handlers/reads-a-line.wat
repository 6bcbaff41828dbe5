;; A module that asks for one line as long as half of its memory, which is as much as 32 bits can address.
(module
  (import "rfile" "read_line" (func $read_line (param i32 i32) (result i32)))
  (memory (export "memory") 0x10000)
  (func (export "handle")
    (drop (call $read_line (i32.const 0) (i32.const 0x7fffffff)))))
