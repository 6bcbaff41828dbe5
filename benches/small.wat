;; Reads up to 64 bytes and writes them: the smallest handler that does something.
(module
  (import "rfile" "read" (func $read (param i32 i32) (result i32)))
  (import "wfile" "write" (func $write (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "handle")
    (drop (call $write (i32.const 0) (call $read (i32.const 0) (i32.const 64))))))
