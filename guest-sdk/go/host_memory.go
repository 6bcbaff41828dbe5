//go:build !wasip1

package sandsock

import "math"

// The longest UDP datagram over IPv4: 65,535 less the headers of IP and UDP.
const longestDatagram = 65_507

// A TestClient is the client of a unit test, in memory, and the server that calls the handler for it.
// The zero value sends nothing over TCP, and ends its side.
//
//	client := sandsock.TestClient{Sends: "hello,server\n"}
//	err := client.Serve(&Hello{})
//	if err != nil || client.Received() != "你好" {
//		t.Errorf("%v, %q", err, client.Received())
//	}
//
// It exists where the program is not built for wasip1.
type TestClient struct {
	// Sends is what the client sends; over a transport of datagrams, as one packet.
	Sends string

	// PieceSize cuts what the client sends in pieces of at most so many bytes, as over a slow line.
	// 0: it is not cut.
	PieceSize int

	// ReadError is the error of each read after Sends, in place of the end of input:
	// os.ErrDeadlineExceeded of a client that falls silent, syscall.ECONNRESET of one that vanishes.
	ReadError error

	// WriteError is the error of a write beyond the first Takes bytes: syscall.EPIPE of a client that
	// has gone, os.ErrDeadlineExceeded of one that does not read.
	WriteError error
	Takes      int

	// Transport is what carries the request.
	Transport Transport

	// Address and ServerAddress are the client's and the server's. If empty, they are
	// 127.0.0.1:4711 and 127.0.0.1:9999; over a Unix transport an unnamed peer, and
	// /run/handler.sock.
	Address, ServerAddress string

	// ID is the request's number; 0 is 1.
	ID uint64

	sent     int
	received []byte
	ends     []int
}

// Serve has h serve the client as the host does: Setup, Handle, Finish; no more after an error of
// Setup, but Finish after one of Handle. At the end what was written to a datagram client and not
// flushed is sent. It returns the first error of a step.
//
// A panic goes through to the test.
func (c *TestClient) Serve(h Handler) error {
	r := c.Request()
	err := steps(h, r)
	if flushed := r.WFile.Flush(); err == nil {
		err = flushed
	}
	return err
}

func steps(h Handler, r *Request) error {
	if err := setup(h, r); err != nil {
		return err
	}
	err := handle(h, r)
	if finished := finish(h, r); err == nil {
		err = finished
	}
	return err
}

// Request is the client's request, for the test of a function that takes one.
func (c *TestClient) Request() *Request { return newRequest(host{c}) }

// Received is all that was written so far, over whatever transport.
func (c *TestClient) Received() string { return string(c.received) }

// Datagrams are those that were sent: by a flush, or at the end of [TestClient.Serve]. Over a stream
// there are none.
func (c *TestClient) Datagrams() []string {
	datagrams := []string{}
	start := 0
	for _, end := range c.ends {
		datagrams = append(datagrams, string(c.received[start:end]))
		start = end
	}
	return datagrams
}

type host struct{ client *TestClient }

func (h host) read(p []byte) (int, error) {
	c := h.client
	if c.sent == len(c.Sends) && c.ReadError != nil {
		return 0, c.ReadError
	}
	if c.PieceSize > 0 {
		p = p[:min(len(p), c.PieceSize)]
	}
	n := copy(p, c.Sends[c.sent:])
	c.sent += n
	return n, nil
}

func (h host) write(p []byte) error {
	c := h.client
	if c.Transport.IsDatagram() && len(c.received)-c.flushed()+len(p) > longestDatagram {
		return ErrMessageTooLong
	}
	takes := math.MaxInt
	if c.WriteError != nil {
		takes = max(0, c.Takes-len(c.received))
	}
	if len(p) > takes {
		c.received = append(c.received, p[:takes]...)
		return c.WriteError
	}
	c.received = append(c.received, p...)
	return nil
}

func (h host) flush() error {
	c := h.client
	if c.Transport.IsDatagram() && len(c.received) > c.flushed() {
		c.ends = append(c.ends, len(c.received))
	}
	return nil
}

func (c *TestClient) flushed() int {
	if len(c.ends) == 0 {
		return 0
	}
	return c.ends[len(c.ends)-1]
}

func (h host) clientAddress() string {
	if h.client.Address == "" && !h.isUnix() {
		return "127.0.0.1:4711"
	}
	return h.client.Address
}

func (h host) serverAddress() string {
	switch {
	case h.client.ServerAddress != "":
		return h.client.ServerAddress
	case h.isUnix():
		return "/run/handler.sock"
	default:
		return "127.0.0.1:9999"
	}
}

func (h host) isUnix() bool {
	return h.client.Transport == UnixStream || h.client.Transport == UnixDatagram
}

func (h host) transport() Transport { return h.client.Transport }

func (h host) id() uint64 { return max(1, h.client.ID) }

// Time does not pass for a client in memory.
func (h host) setTimeout(int64) {}

func (h host) setNoDelay(bool) {}
