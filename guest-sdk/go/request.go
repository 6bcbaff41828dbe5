package sandsock

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"time"
)

// A Request is what a [Handler] serves.
type Request struct {
	// RFile is what the client sends, buffered in the guest as Python's rfile is. A read returns as
	// soon as a byte is there; io.EOF is the end of input, which for a datagram is the end of the
	// packet. A read into a large slice goes past an empty buffer.
	//
	// ReadString and ReadBytes read a line of any length, into the handler's memory: where a client
	// is not trusted with that, there is [Request.ReadLine].
	//
	// Errors: os.ErrDeadlineExceeded when no byte came in time, syscall.ECONNRESET when the client
	// ended the connection by force, and another syscall.Errno. A read may be tried again.
	RFile *bufio.Reader

	// WFile is what the client receives, unbuffered as Python's wfile is.
	WFile *Writer

	host host
}

func newRequest(h host) *Request {
	return &Request{
		RFile: bufio.NewReaderSize(&reader{h}, bufferSize),
		WFile: &Writer{h},
		host:  h,
	}
}

// ErrLineTooLong is the error of [Request.ReadLine] for a line that is longer than its limit.
var ErrLineTooLong = errors.New("line too long")

// ReadLine reads a line from RFile and returns it without its end, "\n" or "\r\n". The last line may
// have none; io.EOF is returned where nothing is left.
//
// A line is of at most limit bytes (at least 1), its end included. Of a longer one ReadLine returns
// those and [ErrLineTooLong], and what follows is still to be read. With another error of RFile it
// returns what came before.
func (r *Request) ReadLine(limit int) (string, error) {
	limit = max(limit, 1)
	var line []byte
	for {
		if _, err := r.RFile.Peek(1); err != nil {
			if err == io.EOF && len(line) > 0 {
				err = nil
			}
			return string(line), err
		}
		room := limit - len(line)
		if room == 0 {
			return string(line), ErrLineTooLong
		}
		part, _ := r.RFile.Peek(min(room, r.RFile.Buffered()))
		if end := bytes.IndexByte(part, '\n'); end >= 0 {
			line = append(line, part[:end]...)
			r.RFile.Discard(end + 1)
			return string(bytes.TrimSuffix(line, []byte{'\r'})), nil
		}
		line = append(line, part...)
		r.RFile.Discard(len(part))
	}
}

// ClientAddress is the client: "127.0.0.1:4711", "[::1]:4711", a path, or empty for an unnamed peer.
func (r *Request) ClientAddress() string { return r.host.clientAddress() }

// ServerAddress is the address that the request came to, written in the same way.
func (r *Request) ServerAddress() string { return r.host.serverAddress() }

// Transport is what carries the request.
func (r *Request) Transport() Transport { return r.host.transport() }

// ID is the request's number, as in the log.
func (r *Request) ID() uint64 { return r.host.id() }

// SetTimeout is Python's timeout: the longest that each later read and write waits without a byte
// moving. It is never beyond what the operator allows; 0 is the operator's.
//
// The host counts in milliseconds: a time is rounded up to a whole one, and every time below, even a
// negative one, is one millisecond.
func (r *Request) SetTimeout(timeout time.Duration) { r.host.setTimeout(milliseconds(timeout)) }

func milliseconds(timeout time.Duration) int64 {
	if timeout == 0 {
		return 0
	}
	if timeout > math.MaxInt64-time.Millisecond {
		return int64(timeout / time.Millisecond)
	}
	return max(1, int64((timeout+time.Millisecond-1)/time.Millisecond))
}

// SetNoDelay is Python's disable_nagle_algorithm; where the transport has none, nothing.
func (r *Request) SetNoDelay(on bool) { r.host.setNoDelay(on) }

// A Transport is what carries a request.
type Transport int

// The transports, as the module ABI numbers them.
const (
	TCP Transport = iota
	UDP
	UnixStream
	UnixDatagram
)

// IsDatagram says whether RFile is one packet and WFile sends packets.
func (t Transport) IsDatagram() bool { return t == UDP || t == UnixDatagram }

// String is the scheme of the server's address: "tcp", "udp", "unix" or "unixgram".
func (t Transport) String() string {
	switch t {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case UnixStream:
		return "unix"
	default:
		return "unixgram"
	}
}
