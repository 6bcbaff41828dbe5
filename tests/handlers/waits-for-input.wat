;; A command as a component: it waits until standard input is ready, and ends.
(component
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (alias outer 1 $pollable (type $outer))
    (export "pollable" (type $pollable (eq $outer)))
    (export "input-stream" (type $input (sub resource)))
    (export "[method]input-stream.subscribe"
      (func (param "self" (borrow $input)) (result (own $pollable))))))
  (alias export $streams "input-stream" (type $input))
  (import "wasi:cli/stdin@0.2.0" (instance $stdin
    (alias outer 1 $input (type $outer))
    (export "input-stream" (type $input (eq $outer)))
    (export "get-stdin" (func (result (own $input))))))
  (core func $get (canon lower (func $stdin "get-stdin")))
  (core func $subscribe (canon lower (func $streams "[method]input-stream.subscribe")))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core module $program
    (import "" "get" (func $get (result i32)))
    (import "" "subscribe" (func $subscribe (param i32) (result i32)))
    (import "" "block" (func $block (param i32)))
    (func (export "run") (result i32)
      (call $block (call $subscribe (call $get)))
      (i32.const 0)))
  (core instance $program (instantiate $program (with "" (instance
    (export "get" (func $get))
    (export "subscribe" (func $subscribe))
    (export "block" (func $block))))))
  (func $run (result (result)) (canon lift (core func $program "run")))
  (instance $exports (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exports)))
