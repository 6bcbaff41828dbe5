;; A handler that does what its client says: `setup`, `handle` and `finish` read one-letter orders, each
;; with its operands (little-endian), and carry them out until one of them ends the step. The tests'
;; `script.rs` writes the orders. A step also ends, well, at the end of input.
;;
;;   . return 0        e return 1         t trap            l loop for ever      x code:u32 proc_exit
;;   w n:u8 bytes      write them         b n:u32           write n bytes and the result
;;   W write without end, and return 1 when that fails
;;   F flush, answer the result           o/O n:u8 bytes    a log line on stdout / stderr
;;   r n:u32           read               R n:u32           read_line            (result, then the bytes)
;;   c n:u32           client_address     a n:u32           server_address       (result, then what fits)
;;   k transport       i id               T ms:i64          set_timeout          N on:i32 set_nodelay
;;   m n:u32           memory.grow        M n:u32           table.grow           z ns:u64 sleep
;;   p f:u8 ptr:u32 len:u32               call import f with a pointer as it stands
(module
  (import "rfile" "read" (func $read (param i32 i32) (result i32)))
  (import "rfile" "read_line" (func $read_line (param i32 i32) (result i32)))
  (import "wfile" "write" (func $write (param i32 i32) (result i32)))
  (import "wfile" "flush" (func $flush (result i32)))
  (import "request" "client_address" (func $client_address (param i32 i32) (result i32)))
  (import "request" "server_address" (func $server_address (param i32 i32) (result i32)))
  (import "request" "transport" (func $transport (result i32)))
  (import "request" "id" (func $id (result i64)))
  (import "request" "set_timeout" (func $set_timeout (param i64) (result i32)))
  (import "request" "set_nodelay" (func $set_nodelay (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))

  ;; 0: one order. 16: its operands. 32: an answer. 64: an iovec. 128: a subscription and its event.
  ;; 1024: bytes of any number.
  (memory (export "memory") 8)
  (table 1 funcref)

  ;; Fills `len` bytes at `at` from the client; a script that is cut off is a fault of the test.
  (func $take (param $at i32) (param $len i32)
    (local $n i32)
    (block $done
      (loop $more
        (br_if $done (i32.eqz (local.get $len)))
        (local.set $n (call $read (local.get $at) (local.get $len)))
        (if (i32.le_s (local.get $n) (i32.const 0)) (then (unreachable)))
        (local.set $at (i32.add (local.get $at) (local.get $n)))
        (local.set $len (i32.sub (local.get $len) (local.get $n)))
        (br $more))))

  (func $u8 (result i32)
    (call $take (i32.const 16) (i32.const 1))
    (i32.load8_u (i32.const 16)))

  (func $u32 (result i32)
    (call $take (i32.const 16) (i32.const 4))
    (i32.load (i32.const 16)))

  (func $u64 (result i64)
    (call $take (i32.const 16) (i32.const 8))
    (i64.load (i32.const 16)))

  (func $answer (param $result i32)
    (i32.store (i32.const 32) (local.get $result))
    (drop (call $write (i32.const 32) (i32.const 4))))

  ;; Answers a result that counts bytes at 1024, then as many of them as there is room for.
  (func $answer_bytes (param $result i32) (param $room i32)
    (call $answer (local.get $result))
    (if (i32.gt_s (local.get $result) (i32.const 0))
      (then
        (if (i32.lt_u (local.get $result) (local.get $room))
          (then (local.set $room (local.get $result))))
        (drop (call $write (i32.const 1024) (local.get $room))))))

  (func $log (param $fd i32)
    (local $len i32)
    (local.set $len (call $u8))
    (call $take (i32.const 1024) (local.get $len))
    (i32.store8 (i32.add (i32.const 1024) (local.get $len)) (i32.const 10))
    (i32.store (i32.const 64) (i32.const 1024))
    (i32.store (i32.const 68) (i32.add (local.get $len) (i32.const 1)))
    (drop (call $fd_write (local.get $fd) (i32.const 64) (i32.const 1) (i32.const 72))))

  ;; One subscription to the monotonic clock (id 1), relative, of so many nanoseconds.
  (func $sleep (param $ns i64)
    (memory.fill (i32.const 128) (i32.const 0) (i32.const 48))
    (i32.store (i32.const 144) (i32.const 1))
    (i64.store (i32.const 152) (local.get $ns))
    (drop (call $poll_oneoff (i32.const 128) (i32.const 192) (i32.const 1) (i32.const 256))))

  (func $pointer (param $f i32) (param $ptr i32) (param $len i32) (result i32)
    (if (i32.eq (local.get $f) (i32.const 0))
      (then (return (call $read (local.get $ptr) (local.get $len)))))
    (if (i32.eq (local.get $f) (i32.const 1))
      (then (return (call $read_line (local.get $ptr) (local.get $len)))))
    (if (i32.eq (local.get $f) (i32.const 2))
      (then (return (call $write (local.get $ptr) (local.get $len)))))
    (if (i32.eq (local.get $f) (i32.const 3))
      (then (return (call $client_address (local.get $ptr) (local.get $len)))))
    (call $server_address (local.get $ptr) (local.get $len)))

  (func $trap_in_setup (unreachable))
  (func $trap_in_handle (unreachable))
  (func $trap_in_finish (unreachable))

  ;; Runs orders until one ends the step; `$step` is 0 for setup, 1 for handle, 2 for finish.
  (func $run (param $step i32) (result i32)
    (local $op i32) (local $n i32)
    (loop $next
      (local.set $n (call $read (i32.const 0) (i32.const 1)))
      (if (i32.eqz (local.get $n)) (then (return (i32.const 0))))
      (if (i32.lt_s (local.get $n) (i32.const 0)) (then (return (i32.const 1))))
      (local.set $op (i32.load8_u (i32.const 0)))

      (if (i32.eq (local.get $op) (i32.const 0x2e)) (then (return (i32.const 0)))) ;; .
      (if (i32.eq (local.get $op) (i32.const 0x65)) (then (return (i32.const 1)))) ;; e
      (if (i32.eq (local.get $op) (i32.const 0x74)) ;; t
        (then
          (if (i32.eq (local.get $step) (i32.const 0)) (then (call $trap_in_setup)))
          (if (i32.eq (local.get $step) (i32.const 1)) (then (call $trap_in_handle)))
          (call $trap_in_finish)))
      (if (i32.eq (local.get $op) (i32.const 0x6c)) ;; l
        (then (loop $for_ever (br $for_ever))))
      (if (i32.eq (local.get $op) (i32.const 0x78)) ;; x
        (then (call $proc_exit (call $u32))))

      (if (i32.eq (local.get $op) (i32.const 0x77)) ;; w
        (then
          (local.set $n (call $u8))
          (call $take (i32.const 1024) (local.get $n))
          (drop (call $write (i32.const 1024) (local.get $n)))))
      (if (i32.eq (local.get $op) (i32.const 0x62)) ;; b
        (then (call $answer (call $write (i32.const 1024) (call $u32)))))
      (if (i32.eq (local.get $op) (i32.const 0x57)) ;; W
        (then
          (loop $on
            (br_if $on
              (i32.ge_s (call $write (i32.const 1024) (i32.const 65536)) (i32.const 0))))
          (return (i32.const 1))))
      (if (i32.eq (local.get $op) (i32.const 0x46)) (then (call $answer (call $flush)))) ;; F
      (if (i32.eq (local.get $op) (i32.const 0x6f)) (then (call $log (i32.const 1)))) ;; o
      (if (i32.eq (local.get $op) (i32.const 0x4f)) (then (call $log (i32.const 2)))) ;; O

      (if (i32.eq (local.get $op) (i32.const 0x72)) ;; r
        (then
          (local.set $n (call $u32))
          (call $answer_bytes (call $read (i32.const 1024) (local.get $n)) (local.get $n))))
      (if (i32.eq (local.get $op) (i32.const 0x52)) ;; R
        (then
          (local.set $n (call $u32))
          (call $answer_bytes (call $read_line (i32.const 1024) (local.get $n)) (local.get $n))))
      (if (i32.eq (local.get $op) (i32.const 0x63)) ;; c
        (then
          (local.set $n (call $u32))
          (call $answer_bytes
            (call $client_address (i32.const 1024) (local.get $n)) (local.get $n))))
      (if (i32.eq (local.get $op) (i32.const 0x61)) ;; a
        (then
          (local.set $n (call $u32))
          (call $answer_bytes
            (call $server_address (i32.const 1024) (local.get $n)) (local.get $n))))

      (if (i32.eq (local.get $op) (i32.const 0x6b)) ;; k
        (then (call $answer (call $transport))))
      (if (i32.eq (local.get $op) (i32.const 0x69)) ;; i
        (then
          (i64.store (i32.const 32) (call $id))
          (drop (call $write (i32.const 32) (i32.const 8)))))
      (if (i32.eq (local.get $op) (i32.const 0x54)) ;; T
        (then (call $answer (call $set_timeout (call $u64)))))
      (if (i32.eq (local.get $op) (i32.const 0x4e)) ;; N
        (then (call $answer (call $set_nodelay (call $u32)))))

      (if (i32.eq (local.get $op) (i32.const 0x6d)) ;; m
        (then (call $answer (memory.grow (call $u32)))))
      (if (i32.eq (local.get $op) (i32.const 0x4d)) ;; M
        (then (call $answer (table.grow (ref.null func) (call $u32)))))
      (if (i32.eq (local.get $op) (i32.const 0x7a)) (then (call $sleep (call $u64)))) ;; z
      (if (i32.eq (local.get $op) (i32.const 0x70)) ;; p
        (then (call $answer (call $pointer (call $u8) (call $u32) (call $u32)))))
      (br $next))
    (unreachable))

  (func (export "setup") (result i32) (call $run (i32.const 0)))
  (func (export "handle") (result i32) (call $run (i32.const 1)))
  (func (export "finish") (result i32) (call $run (i32.const 2))))
