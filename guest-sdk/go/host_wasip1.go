package sandsock

import (
	"os"
	"syscall"
	"unsafe"
)

// The imports of the module ABI, version 1.

//go:wasmimport rfile read
//go:noescape
func rfileRead(buf unsafe.Pointer, len uint32) int32

//go:wasmimport wfile write
//go:noescape
func wfileWrite(buf unsafe.Pointer, len uint32) int32

//go:wasmimport wfile flush
func wfileFlush() int32

//go:wasmimport request client_address
//go:noescape
func requestClientAddress(buf unsafe.Pointer, len uint32) int32

//go:wasmimport request server_address
//go:noescape
func requestServerAddress(buf unsafe.Pointer, len uint32) int32

//go:wasmimport request transport
func requestTransport() int32

//go:wasmimport request id
func requestID() int64

//go:wasmimport request set_timeout
func requestSetTimeout(millis int64) int32

//go:wasmimport request set_nodelay
func requestSetNoDelay(on int32) int32

// The request of this instance, from its first step to its last.
var current *Request

//go:wasmexport setup
func exportSetup() int32 {
	began()
	current = newRequest(host{})
	return outcome(caught(setup, served, current))
}

//go:wasmexport handle
func exportHandle() int32 { return outcome(caught(handle, served, current)) }

//go:wasmexport finish
func exportFinish() int32 { return outcome(caught(finish, served, current)) }

// outcome is 0, or 1 and the error's text in the log.
func outcome(err error) int32 {
	if err == nil {
		return 0
	}
	os.Stderr.WriteString(err.Error() + "\n")
	return 1
}

type host struct{}

func (host) read(p []byte) (int, error) {
	return count(rfileRead(unsafe.Pointer(unsafe.SliceData(p)), uint32(len(p))))
}

func (host) write(p []byte) error {
	_, err := count(wfileWrite(unsafe.Pointer(unsafe.SliceData(p)), uint32(len(p))))
	return err
}

func (host) flush() error {
	_, err := count(wfileFlush())
	return err
}

func (host) clientAddress() string         { return text(requestClientAddress) }
func (host) serverAddress() string         { return text(requestServerAddress) }
func (host) transport() Transport          { return Transport(requestTransport()) }
func (host) id() uint64                    { return uint64(requestID()) }
func (host) setTimeout(milliseconds int64) { requestSetTimeout(milliseconds) }

func (host) setNoDelay(on bool) {
	if on {
		requestSetNoDelay(1)
	} else {
		requestSetNoDelay(0)
	}
}

// text is a text of the host, which returns its full length and copies what fits.
func text(copy func(unsafe.Pointer, uint32) int32) string {
	// Room for the longest path of a Unix socket (108 bytes), so that one call is enough.
	p := make([]byte, 112)
	for {
		n := int(copy(unsafe.Pointer(unsafe.SliceData(p)), uint32(len(p))))
		if n <= len(p) {
			return string(p[:max(n, 0)])
		}
		p = make([]byte, n)
	}
}

// count is a result of the ABI: a count, or a negated errno of WASI preview 1, which package syscall
// numbers in the same way.
func count(result int32) (int, error) {
	if result >= 0 {
		return int(result), nil
	}
	switch errno := syscall.Errno(-result); errno {
	case syscall.ETIMEDOUT:
		return 0, os.ErrDeadlineExceeded
	case syscall.EMSGSIZE:
		return 0, ErrMessageTooLong
	default:
		return 0, errno
	}
}
