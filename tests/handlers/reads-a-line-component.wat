;; A component that asks for one line of any length, and has no room for a long one.
(component
  (import "socketserver:handler/types@1.0.0" (instance $types
    (type $variant (variant
      (case "timed-out") (case "broken-pipe") (case "connection-reset") (case "message-too-long") (case "other" string)))
    (export "io-error" (type (eq $variant)))))
  (alias export $types "io-error" (type $io-error))
  (import "socketserver:handler/rfile@1.0.0" (instance $rfile
    (alias outer 1 $io-error (type $outer))
    (export "io-error" (type $error (eq $outer)))
    (export "read-line" (func (param "len" u32) (result (result (list u8) (error $error)))))))
  (core module $memory
    (memory (export "memory") 2)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
  (core instance $memory (instantiate $memory))
  (alias export $rfile "read-line" (func $read-line))
  (core func $lowered
    (canon lower (func $read-line) (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (core module $program
    (import "" "read-line" (func $read-line (param i32 i32)))
    (func (export "handle") (result i32)
      (call $read-line (i32.const -1) (i32.const 512))
      (i32.const 0)))
  (core instance $program (instantiate $program (with "" (instance (export "read-line" (func $lowered))))))
  (func (export "handle") (result (result (error string)))
    (canon lift (core func $program "handle") (memory (core memory $memory "memory"))
      (realloc (core func $memory "realloc")))))
