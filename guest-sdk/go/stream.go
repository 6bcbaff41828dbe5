package sandsock

import (
	"errors"
	"io"
)

// ErrMessageTooLong is the error of a write that makes a reply longer than a datagram can be.
var ErrMessageTooLong = errors.New("message too long for a datagram")

const (
	// What a client that sends little fits into.
	bufferSize = 4096
	// What WriteTo copies with, for a client that sends much.
	copySize = 64 * 1024
)

// reader is the host's end of RFile.
type reader struct{ host host }

func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := r.host.read(p)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// WriteTo is what io.Copy(w, RFile) and RFile.WriteTo(w) come to.
func (r *reader) WriteTo(w io.Writer) (written int64, err error) {
	p := make([]byte, bufferSize)
	for {
		n, err := r.Read(p)
		if n > 0 {
			m, err := w.Write(p[:n])
			written += int64(m)
			if err != nil {
				return written, err
			}
		}
		if err == io.EOF {
			return written, nil
		}
		if err != nil {
			return written, err
		}
		if n == bufferSize {
			p = make([]byte, copySize)
		}
	}
}

// A Writer sends to the client.
type Writer struct{ host host }

// Write sends all of p (Python's sendall) and is done when the last byte is the system's. For a
// datagram it is collected until [Writer.Flush] or the end of the request. Each write is a call of
// the host: many small pieces are one with fmt.Fprintf or a bufio.Writer.
//
// Errors: syscall.EPIPE and syscall.ECONNRESET when the client has gone, os.ErrDeadlineExceeded when
// it did not read in time, [ErrMessageTooLong], and another syscall.Errno. How much of p was sent
// before an error is not known: n is 0.
func (w *Writer) Write(p []byte) (n int, err error) {
	if err := w.host.write(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// WriteString is Write for a string.
func (w *Writer) WriteString(s string) (n int, err error) { return w.Write([]byte(s)) }

// Flush sends what was written since the last flush as one datagram; nothing written, nothing sent.
// Over a stream, where nothing is held back, it does nothing.
func (w *Writer) Flush() error { return w.host.flush() }
