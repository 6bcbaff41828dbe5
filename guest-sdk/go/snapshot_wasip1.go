//go:build !nosnapshot

package sandsock

import (
	"math/rand/v2"
	"runtime"
	"unsafe"
)

// The start of Go's runtime, and all init functions, run once, when the host compiles the program: each
// request begins with the memory that they left. Build with -tags nosnapshot for a start in each request.
//
// Of that memory one thing may not be the same in each request: the state of the runtime's random
// generator, which package math/rand draws from, and maps their seeds. It is given a new seed when a
// request begins.

//go:wasmimport wasi_snapshot_preview1 random_get
//go:noescape
func randomGet(buf unsafe.Pointer, len uint32) uint32

//go:wasmexport wizer-initialize
func exportInitialize() {
	generator = findGenerator()
	if generator == nil {
		// The host takes no snapshot then.
		panic("sandsock: this version of Go keeps its random generator where this package does not find it")
	}
	runtime.GC()
}

// A chacha8 is the generator's state, as internal/chacha8rand has it since Go 1.22.
type chacha8 struct {
	buf     [32]uint64
	seed    [4]uint64
	i, n, c uint32
}

// The state of the only thread's generator; nil where there is no snapshot.
var generator *chacha8

// began is called at the beginning of each step.
func began() {
	if generator == nil {
		return
	}
	var seed [4]uint64
	if randomGet(unsafe.Pointer(&seed), uint32(unsafe.Sizeof(seed))) != 0 {
		panic("sandsock: the host has no random bytes")
	}
	generator.reseed(seed)
	generator = nil
}

// reseed has the next number drawn from a new block of this seed.
func (s *chacha8) reseed(seed [4]uint64) {
	s.seed = seed
	s.i, s.n, s.c = uint32(len(s.buf)), uint32(len(s.buf)), 0
}

// findGenerator finds the state by what it has in store, and returns it only if it behaves as it should:
// no package of the standard library gives access to it.
func findGenerator() *chacha8 {
	// The store holds 28 or 32 numbers, of which some are used; one of the first tries meets eight in a row.
	for range 8 {
		var drawn [8]uint64
		for i := range drawn {
			drawn[i] = rand.Uint64()
		}
		if s := findDrawn(drawn); s != nil && s.obeys() {
			return s
		}
	}
	return nil
}

// findDrawn finds the state that has just handed out these numbers among the program's variables, which lie
// below the heap.
func findDrawn(drawn [8]uint64) *chacha8 {
	const first = 4096 // Nothing lies below: there a nil pointer points to.
	heap := uintptr(unsafe.Pointer(new([1024]uint64)))
	size := unsafe.Sizeof(chacha8{})
	for at := uintptr(first); at+size <= heap; at += 8 {
		s := (*chacha8)(unsafe.Pointer(at))
		used := s.i
		if used < 8 || used > 32 || s.n < used || s.n > 32 {
			continue
		}
		if [8]uint64(s.buf[used-8:used]) == drawn {
			return s
		}
	}
	return nil
}

// obeys tells whether numbers follow from the seed that the state is given.
func (s *chacha8) obeys() bool {
	first := func(seed uint64) uint64 {
		s.reseed([4]uint64{seed})
		return rand.Uint64()
	}
	one, two := first(1), first(2)
	return one != two && first(1) == one
}
