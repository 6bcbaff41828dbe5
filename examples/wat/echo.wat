;; Echo (RFC 862) without SDK or compiler: sends back what it receives, until the client ends its side.
(module
  (import "rfile" "read" (func $read (param i32 i32) (result i32)))
  (import "wfile" "write" (func $write (param i32 i32) (result i32)))
  (memory (export "memory") 2)

  (func (export "handle") (result i32)
    (local $len i32)
    (loop $more
      (local.set $len (call $read (i32.const 0) (i32.const 131072)))
      ;; 0 is the end of input; less is an error, which the result of the function reports.
      (if (i32.le_s (local.get $len) (i32.const 0))
        (then (return (i32.ne (local.get $len) (i32.const 0)))))
      (br_if $more (i32.ge_s (call $write (i32.const 0) (local.get $len)) (i32.const 0))))
    (i32.const 1)))
