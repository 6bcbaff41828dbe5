// Package sandsock makes a request handler for sandsock of a Go program.
//
// A handler is what Python's socketserver calls a StreamRequestHandler: it reads [Request.RFile],
// writes [Request.WFile], and does not know whether a TCP connection, a Unix stream or a datagram
// stands behind them. Each request has an instance of its own, with fresh memory.
//
//	type Hello struct{}
//
//	func (*Hello) Handle(r *sandsock.Request) error {
//		line, err := r.ReadLine(8192)
//		if err != nil {
//			return err
//		}
//		fmt.Println(line)
//		_, err = r.WFile.WriteString("你好")
//		return err
//	}
//
//	func init() { sandsock.Serve(&Hello{}) }
//
//	func main() {}
//
// Built with GOOS=wasip1 GOARCH=wasm and -buildmode=c-shared the program is a handler of kind module.
// For any other system the same source builds for unit tests: there [TestClient] is client and server.
//
//	file             concept
//	sandsock.go      Handler, its three steps, and what becomes of an error
//	request.go       Request: what is known of the request
//	stream.go        what the client sends, and what it receives
//	host_wasip1.go   the host of a module: its imports and exports
//	snapshot_….go    what is done once for all requests, and once for each
//	host_memory.go   the host of a unit test: TestClient
package sandsock

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// A Handler serves one request. It may also be a [SetupHandler] and a [FinishHandler]: the three
// steps of Python's BaseRequestHandler, on one value.
//
// An error of a step is logged and closes the connection; of what it says, nothing reaches the
// client. A panic is an error whose text and stack trace are logged.
type Handler interface {
	// Handle serves the request.
	Handle(*Request) error
}

// A SetupHandler has something to do before Handle.
type SetupHandler interface {
	// Setup runs before Handle. After an error neither Handle nor Finish runs.
	Setup(*Request) error
}

// A FinishHandler has something to do after Handle.
type FinishHandler interface {
	// Finish runs after Handle, whether that succeeded or returned an error.
	Finish(*Request) error
}

var served Handler

// Serve makes h the handler of this program. It is called once, in an init function: the host never
// calls main.
//
// A program that is built for the machine at hand only keeps h; its tests serve with [TestClient].
func Serve(h Handler) {
	if served != nil {
		panic("sandsock: Serve was called twice")
	}
	served = h
}

// The steps of any handler; of one that has no such step, nothing.

func setup(h Handler, r *Request) error {
	if s, ok := h.(SetupHandler); ok {
		return s.Setup(r)
	}
	return nil
}

func handle(h Handler, r *Request) error {
	if h == nil {
		return errors.New("no handler: call sandsock.Serve in an init function")
	}
	return h.Handle(r)
}

func finish(h Handler, r *Request) error {
	if f, ok := h.(FinishHandler); ok {
		return f.Finish(r)
	}
	return nil
}

// caught is the step's error, or one that tells of its panic.
func caught(step func(Handler, *Request) error, h Handler, r *Request) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("panic: %v\n\n%s", value, debug.Stack())
		}
	}()
	return step(h, r)
}
