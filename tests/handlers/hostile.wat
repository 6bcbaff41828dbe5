;; Attacks that no compiler writes. The first line of input says when and which: a letter for the step
;; (s start function, i _initialize, u setup, h handle, f finish), a letter for the attack, and words for people.
;; A line that begins with g is a neighbour's, who wants to be greeted.
(module
  (type $attack (func))
  (import "rfile" "read" (func $read (param i32 i32) (result i32)))
  (import "rfile" "read_line" (func $read_line (param i32 i32) (result i32)))
  (import "wfile" "write" (func $write (param i32 i32) (result i32)))
  (import "request" "client_address" (func $client_address (param i32 i32) (result i32)))
  (import "request" "server_address" (func $server_address (param i32 i32) (result i32)))
  (import "request" "id" (func $id (result i64)))
  (import "request" "set_timeout" (func $set_timeout (param i64) (result i32)))
  (import "request" "set_nodelay" (func $set_nodelay (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get"
    (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_renumber" (func $fd_renumber (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sched_yield" (func $sched_yield (result i32)))

  ;; 0: the order. 512: results. 1024: an iovec, a subscription. 65,536 and on: 8 MiB of nothing.
  (memory (export "memory") 129)
  (memory $second 1)
  (table $attacks 64 funcref)
  (table $large 10000 funcref)
  (data $bytes "some bytes")
  (data (i32.const 256) "hello")
  (global $result (mut i32) (i32.const 0))

  (elem (table $attacks) (i32.const 0) func
    $spin $ask-for-the-id $copy $fill $grow-a-table $fill-a-table $grow-at-once $grow-two-memories
    $call-its-own-tail $recurse-through-a-table $read-outside $write-outside $read-a-line-outside
    $address-outside $poll-too-many $sleep $too-many-iovecs $log-the-same-memory $draw-numbers $clock-outside
    $exit $trap $juggle-descriptors $report $set-the-longest-timeout $time-out-again-and-again)
  (elem (table $attacks) (i32.const 32) func
    $divide $call-nothing $call-outside $read-an-empty-input $open-nothing $yield $log-control-characters
    $poll-many $write-nothing $write-too-much $convert-no-number $switch-nagle $copy-the-address-outside
    $initialize-outside)

  (func $step (param $step i32)
    (if (i32.eq (i32.load8_u (i32.const 0)) (local.get $step))
      (then (call_indirect $attacks (type $attack)
        (i32.sub (i32.load8_u (i32.const 1)) (i32.const 65))))))

  (func $start
    (drop (call $read_line (i32.const 0) (i32.const 256)))
    (call $step (i32.const 115)))
  (start $start)
  (func (export "_initialize") (call $step (i32.const 105)))
  (func (export "setup") (call $step (i32.const 117)))
  (func (export "handle") (result i32)
    (if (i32.eq (i32.load8_u (i32.const 0)) (i32.const 103))
      (then (drop (call $write (i32.const 256) (i32.const 5)))))
    (call $step (i32.const 104))
    (global.get $result))
  (func (export "finish") (call $step (i32.const 102)))

  ;; Time.
  (func $spin (loop $again (br $again)))
  (func $ask-for-the-id (loop $again (drop (call $id)) (br $again)))
  (func $copy
    (loop $again
      (memory.copy (i32.const 65536) (i32.const 65537) (i32.const 8388607))
      (br $again)))
  (func $fill
    (loop $again
      (memory.fill (i32.const 65536) (i32.const 0) (i32.const 8388608))
      (br $again)))
  (func $fill-a-table
    (loop $again
      (table.fill $large (i32.const 0) (ref.null func) (i32.const 10000))
      (br $again)))
  (func $call-its-own-tail (return_call $call-its-own-tail))
  (func $log-the-same-memory
    (local $n i32)
    (loop $more
      (i32.store (i32.add (i32.const 1024) (i32.mul (local.get $n) (i32.const 8))) (i32.const 65536))
      (i32.store (i32.add (i32.const 1028) (i32.mul (local.get $n) (i32.const 8))) (i32.const 8388608))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $n) (i32.const 1024))))
    (loop $again
      (drop (call $fd_write (i32.const 2) (i32.const 1024) (i32.const 1024) (i32.const 512)))
      (br $again)))
  (func $draw-numbers
    (loop $again
      (drop (call $random_get (i32.const 65536) (i32.const 8388608)))
      (br $again)))
  (func $juggle-descriptors
    (local $n i32)
    (loop $again
      (drop (call $fd_renumber (local.get $n) (i32.const 1)))
      (drop (call $fd_close (local.get $n)))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br $again)))
  (func $read-an-empty-input
    (i32.store (i32.const 1024) (i32.const 65536))
    (i32.store (i32.const 1028) (i32.const 8388608))
    (loop $again
      (drop (call $fd_read (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 512)))
      (br $again)))
  (func $open-nothing
    (loop $again
      (drop (call $path_open (i32.const 3) (i32.const 1) (i32.const 65536) (i32.const 4096)
        (i32.const 1) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 512)))
      (br $again)))
  (func $yield (loop $again (drop (call $sched_yield)) (br $again)))
  (func $poll-many
    ;; 100,000 subscriptions to a clock's first nanosecond: 48 bytes each, and 32 for its event.
    (loop $again
      (drop (call $poll_oneoff
        (i32.const 65536) (i32.const 65536) (i32.const 100000) (i32.const 512)))
      (br $again)))
  (func $write-nothing
    (loop $again (drop (call $write (i32.const 0) (i32.const 0))) (br $again)))
  (func $switch-nagle
    (local $n i32)
    (loop $again
      (drop (call $set_nodelay (i32.and (local.get $n) (i32.const 1))))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br $again)))
  (func $sleep
    ;; A subscription to the monotonic clock, 2^63 ns from now.
    (i32.store8 (i32.const 1032) (i32.const 0))
    (i32.store (i32.const 1040) (i32.const 1))
    (i64.store (i32.const 1048) (i64.const 0x8000000000000000))
    (loop $again
      (drop (call $poll_oneoff (i32.const 1024) (i32.const 2048) (i32.const 1) (i32.const 512)))
      (br $again)))
  (func $set-the-longest-timeout
    (drop (call $set_timeout (i64.const 0x7fffffffffffffff)))
    (drop (call $read (i32.const 512) (i32.const 1))))
  (func $time-out-again-and-again
    (drop (call $set_timeout (i64.const 1)))
    (loop $again
      (drop (call $read (i32.const 512) (i32.const 1)))
      (br $again)))

  ;; Memory and stack.
  (func $grow-a-table
    (loop $again
      (br_if $again (i32.ne (table.grow $large (ref.null func) (i32.const 1000)) (i32.const -1))))
    (unreachable))
  (func $grow-at-once
    (if (i32.eq (memory.grow (i32.const 60000)) (i32.const -1)) (then (unreachable))))
  (func $grow-two-memories
    (loop $again
      (drop (memory.grow (i32.const 1)))
      (br_if $again (i32.ne (memory.grow $second (i32.const 1)) (i32.const -1))))
    (unreachable))
  (func $recurse-through-a-table
    (call_indirect $attacks (type $attack) (i32.const 9))
    (call_indirect $attacks (type $attack) (i32.const 9)))

  ;; Pointers and lengths.
  (func $read-outside (drop (call $read (i32.const -1) (i32.const -1))))
  (func $write-outside (drop (call $write (i32.const 0) (i32.const -1))))
  (func $read-a-line-outside (drop (call $read_line (i32.const 8454143) (i32.const 16))))
  (func $address-outside (drop (call $client_address (i32.const -4) (i32.const 8))))
  (func $copy-the-address-outside
    (drop (call $server_address (i32.const 0) (i32.const 0x7fffffff))))
  (func $poll-too-many
    (drop (call $poll_oneoff (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 512)))
    (unreachable))
  (func $too-many-iovecs
    (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 0x1fffffff) (i32.const 512)))
    (unreachable))
  (func $clock-outside
    (drop (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const -4)))
    (unreachable))
  (func $initialize-outside
    (memory.init $bytes (i32.const -1) (i32.const 0) (i32.const 10)))

  ;; The end.
  (func $exit (call $proc_exit (i32.const -1)))
  (func $trap (unreachable))
  (func $divide (global.set $result (i32.div_s (i32.const 0x80000000) (i32.const -1))))
  (func $call-nothing (call_indirect $large (type $attack) (i32.const 0)))
  (func $call-outside (call_indirect $attacks (type $attack) (i32.const -1)))
  (func $convert-no-number
    (global.set $result (i32.trunc_f64_s (f64.div (f64.const 0) (f64.const 0)))))
  (func $report (global.set $result (i32.const 0x80000000)))

  ;; The log and the client.
  (func $log-control-characters
    (i32.store (i32.const 1024) (i32.const 65536))
    (i32.store (i32.const 1028) (i32.const 8388608))
    (memory.fill (i32.const 65536) (i32.const 27) (i32.const 8388608))
    (drop (call $fd_write (i32.const 2) (i32.const 1024) (i32.const 1) (i32.const 512))))
  (func $write-too-much
    (loop $again
      (br_if $again (i32.gt_s (call $write (i32.const 65536) (i32.const 8192)) (i32.const 0))))))
