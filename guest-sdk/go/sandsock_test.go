package sandsock

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// traced writes the name of each step, and fails in those that the client names.
type traced struct{ failsIn string }

func (s *traced) step(r *Request, name string) error {
	if _, err := r.WFile.WriteString(name + " "); err != nil {
		return err
	}
	if strings.Contains(s.failsIn, name) {
		return errors.New("in " + name)
	}
	return nil
}

func (s *traced) Setup(r *Request) error {
	input, err := io.ReadAll(r.RFile)
	s.failsIn = string(input)
	if err != nil {
		return err
	}
	return s.step(r, "setup")
}

func (s *traced) Handle(r *Request) error { return s.step(r, "handle") }
func (s *traced) Finish(r *Request) error { return s.step(r, "finish") }

func TestStepsRunInOrderOnOneValue(t *testing.T) {
	for _, test := range []struct{ failsIn, received, err string }{
		{"", "setup handle finish ", ""},
		{"setup", "setup ", "in setup"},
		{"handle", "setup handle finish ", "in handle"},
		{"finish", "setup handle finish ", "in finish"},
		{"handle finish", "setup handle finish ", "in handle"},
	} {
		client := TestClient{Sends: test.failsIn}
		err := client.Serve(&traced{})
		if client.Received() != test.received || textOf(err) != test.err {
			t.Errorf("fails in %q: %q, %v", test.failsIn, client.Received(), err)
		}
	}
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestWhatADatagramClientWasWrittenIsSentEvenAfterAnError(t *testing.T) {
	for _, failsIn := range []string{"", "setup", "handle"} {
		client := TestClient{Sends: failsIn, Transport: UnixDatagram}
		err := client.Serve(&traced{})
		if (err != nil) != (failsIn != "") || !slices.Equal(client.Datagrams(), []string{client.Received()}) {
			t.Errorf("fails in %q: %q, %v", failsIn, client.Datagrams(), err)
		}
	}
}

type onlyHandle func(*Request) error

func (f onlyHandle) Handle(r *Request) error { return f(r) }

func TestOnlyHandleIsRequired(t *testing.T) {
	client := TestClient{}
	err := client.Serve(onlyHandle(func(r *Request) error {
		_, err := r.WFile.WriteString("handled")
		return err
	}))
	if err != nil || client.Received() != "handled" {
		t.Errorf("%q, %v", client.Received(), err)
	}
}

func TestAPanicGoesThroughToTheTest(t *testing.T) {
	defer func() {
		if value := recover(); value != "broken" {
			t.Errorf("recovered %v", value)
		}
	}()
	client := TestClient{}
	client.Serve(onlyHandle(func(*Request) error { panic("broken") }))
}

func TestAPanicIsAnErrorWithItsTextAndStack(t *testing.T) {
	broken := onlyHandle(func(*Request) error {
		var counts map[string]int
		counts["x"]++
		return nil
	})
	err := caught(handle, broken, nil)
	for _, part := range []string{"panic: assignment to entry in nil map\n", "sandsock_test.go:"} {
		if !strings.Contains(textOf(err), part) {
			t.Errorf("no %q in %v", part, err)
		}
	}
}

func TestAnErrorIsPassedOnAsItIs(t *testing.T) {
	failing := onlyHandle(func(*Request) error { return io.ErrUnexpectedEOF })
	if err := caught(handle, failing, nil); err != io.ErrUnexpectedEOF {
		t.Errorf("%v", err)
	}
}

func TestAProgramWithoutAHandlerSaysWhatIsMissing(t *testing.T) {
	if err := caught(handle, nil, nil); !strings.Contains(textOf(err), "sandsock.Serve") {
		t.Errorf("%v", err)
	}
}
